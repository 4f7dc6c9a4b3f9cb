"""A search that is ended: by the moment at which its result is due, or by who asked for it."""

import asyncio

import pytest
import virtual_time
from mils_parts import MILLISECOND, Log, Mutator, WordJudge, WordScorer, events, search

from triptych_server.capabilities.mils.events import Result, Step, Stop
from triptych_server.capabilities.mils.loop import solve
from triptych_server.errors import DeadlineExceeded

# Each call takes a second. The seeds end at 2: embedded, scored; the steps at 5, 8, ...: proposed,
# embedded, scored.
ONE = 1.0


def parts(examples: int = 6) -> tuple[Mutator, WordScorer, Log]:
    """Without examples words are drawn from all, so each step has one round."""
    log = Log()
    return Mutator(examples=examples, seconds=ONE, log=log), WordScorer(seconds=ONE, log=log), log


def test_the_best_so_far_is_the_result_at_the_end() -> None:
    async def work() -> None:
        proposer, scorer, log = parts(examples=0)
        ended = solve(search("aaaaaa", candidates=4), proposer, scorer, None, 9.5)
        steps, result = await events(ended)
        assert asyncio.get_running_loop().time() == 9.5
        assert (result.stop, result.steps, len(steps)) == (Stop.DEADLINE, 2, 3)
        assert result.best is steps[-1].best
        assert result.texts[0] is result.best
        assert log.calls[-1] == (9, "embed")

    virtual_time.run(work())


def test_what_a_cut_step_has_scored_is_told() -> None:
    async def work() -> None:
        proposer, scorer, _ = parts()
        # The first round of the only step finds some new texts of 300; the others would find more.
        ended = solve(search("aaaaaa", "ffffff", candidates=300), proposer, scorer, None, 6.5)
        steps, result = await events(ended)
        assert (result.stop, result.steps) == (Stop.DEADLINE, 1)
        assert 0 < len(steps[1].candidates) < 300
        assert result.spending.evaluations == len(steps[1].candidates)
        assert result.best is steps[1].best

    virtual_time.run(work())


def test_what_a_cut_step_has_spent_is_counted() -> None:
    async def work() -> None:
        proposer, scorer, _ = parts()
        steps, result = await events(solve(search("aaaaaa"), proposer, scorer, None, 3.5))
        assert len(steps) == 1
        assert steps[0].spending.usage.prompt_tokens == 0
        assert result.spending.usage.prompt_tokens == 1
        assert result.times.generation_ns == MILLISECOND

    virtual_time.run(work())


@pytest.mark.parametrize("seeds", [("aaaaaa",), ()])
def test_an_end_before_anything_is_scored_is_an_error(seeds: tuple[str, ...]) -> None:
    async def work() -> None:
        proposer, scorer, _ = parts()
        with pytest.raises(DeadlineExceeded):
            await events(solve(search(*seeds), proposer, scorer, None, 1.5))

    virtual_time.run(work())


def test_an_end_that_has_passed_begins_nothing() -> None:
    async def work() -> None:
        proposer, scorer, log = parts()
        await asyncio.sleep(5)
        with pytest.raises(DeadlineExceeded):
            await events(solve(search("aaaaaa"), proposer, scorer, None, 5))
        assert log.calls == []

    virtual_time.run(work())


def test_finalists_are_left_uncompared_at_the_end() -> None:
    async def work(end: float | None) -> Result:
        proposer, scorer, log = parts(examples=0)
        judge = WordJudge(seconds=ONE, log=log)
        asked = search("aaaaaa", steps=1, candidates=4, finalists=2)
        _, result = await events(solve(asked, proposer, scorer, judge, end))
        assert len(log.calls) == 6
        return result

    assert virtual_time.run(work(None)).stop is Stop.STEPS
    result = virtual_time.run(work(5.5))
    assert result.stop is Stop.DEADLINE
    assert {each.matching_score for each in result.texts} == {None}
    assert result.best is result.texts[0]
    assert result.spending.matched_pairs == 0


def test_no_judge_is_asked_after_a_cut_step() -> None:
    async def work() -> None:
        proposer, scorer, _ = parts()
        judge = WordJudge()
        ended = solve(search("aaaaaa", finalists=2), proposer, scorer, judge, 6.5)
        _, result = await events(ended)
        assert result.stop is Stop.DEADLINE
        assert judge.scored == []

    virtual_time.run(work())


@pytest.mark.parametrize("moment", [0.5, 1.5, 2.5, 3.5, 4.5, 7.5, 30.5])
def test_cancelling_who_waits_starts_nothing_more(moment: float) -> None:
    async def work() -> None:
        proposer, scorer, log = parts()
        waiting = asyncio.create_task(events(solve(search("aaaaaa"), proposer, scorer, None, None)))
        await asyncio.sleep(moment)
        begun = len(log.calls)
        assert begun == int(moment) + 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(1000)
        assert len(log.calls) == begun
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(work())


def test_closing_it_between_steps_starts_nothing_more() -> None:
    async def work() -> None:
        proposer, scorer, log = parts()
        solving = solve(search("aaaaaa"), proposer, scorer, None, 100)
        for _ in range(3):
            assert isinstance(await anext(solving), Step)
        begun = len(log.calls)
        await solving.aclose()
        await asyncio.sleep(1000)
        assert len(log.calls) == begun

    virtual_time.run(work())


def test_a_slow_reader_does_not_move_the_end() -> None:
    async def work() -> None:
        proposer, scorer, log = parts()
        solving = solve(search("aaaaaa"), proposer, scorer, None, 10)
        first = await anext(solving)
        await asyncio.sleep(50)
        begun = len(log.calls)
        result = await anext(solving)
        assert isinstance(first, Step)
        assert isinstance(result, Result)
        assert (result.stop, result.steps) == (Stop.DEADLINE, 0)
        assert len(log.calls) == begun

    virtual_time.run(work())
