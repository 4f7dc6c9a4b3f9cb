"""What holds of every search, whatever it begins with and whatever its limits are."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from mils_parts import Log, Mutator, WordScorer, events, search

from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.events import Result, Step, Stop
from triptych_server.capabilities.mils.loop import solve
from triptych_server.capabilities.mils.search import Search
from triptych_server.errors import DeadlineExceeded

WORD = "face"

words = st.text("abcdef", min_size=4, max_size=4)
searches = st.builds(
    lambda seeds, **options: search(*seeds, **options),
    st.lists(words, unique=True, max_size=12),
    candidates=st.integers(1, 40),
    begin_with=st.integers(1, 12),
    steps=st.integers(0, 6),
    patience=st.none() | st.integers(1, 4),
    evaluations=st.integers(1, 80),
    cosine=st.sampled_from([0.5, 0.74, 0.95, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)
embeds = st.booleans()
examples = st.integers(0, 8)


def solved(
    asked: Search, examples: int, embeds: bool, end: float | None = None
) -> tuple[list[Step], Result, WordScorer]:
    """Every call takes a second of the loop's time."""
    proposer = Mutator(len(WORD), examples, seconds=1)
    scorer = WordScorer(WORD, embeds, seconds=1)
    steps, result = virtual_time.run(events(solve(asked, proposer, scorer, None, end)))
    return steps, result, scorer


def told(steps: Sequence[Step], result: Result) -> object:
    """All that two equal searches have in common."""
    return told_steps(steps), _texts(result.texts), result.stop, result.steps, result.spending


def told_steps(steps: Sequence[Step]) -> list[object]:
    return [(step.step, _texts(step.candidates), step.spending, step.times) for step in steps]


def _texts(candidates: Sequence[Candidate]) -> list[tuple[str, float, int]]:
    return [(each.text, each.score, each.step) for each in candidates]


@given(searches, examples, embeds)
def test_the_best_never_falls_and_is_the_best_of_all(
    asked: Search, examples: int, embeds: bool
) -> None:
    steps, result, scorer = solved(asked, examples, embeds)
    bests = [step.best for step in steps]
    for earlier, later in pairwise(bests):
        assert earlier is None or (later is not None and later.score >= earlier.score)
    assert result.best is bests[-1]
    if scorer.scored:
        assert result.best is not None
        assert result.best.text == max(scorer.scored, key=scorer.value)  # the first of equal ones


@given(searches, examples, embeds)
def test_nothing_is_scored_twice_and_everything_is_counted(
    asked: Search, examples: int, embeds: bool
) -> None:
    steps, result, scorer = solved(asked, examples, embeds)
    assert len(set(scorer.scored)) == len(scorer.scored)
    spending = result.spending
    assert spending.evaluations == len(scorer.scored) - len(asked.seeds)
    proposed = spending.evaluations + spending.duplicates + spending.near_duplicates
    assert proposed + spending.unparsed == spending.usage.completion_tokens
    assert [step.step for step in steps] == list(range(result.steps + 1))
    assert sum(len(step.candidates) for step in steps[1:]) == spending.evaluations
    for step in steps:
        scores = [candidate.score for candidate in step.candidates]
        assert scores == sorted(scores, reverse=True)
        assert {candidate.step for candidate in step.candidates} <= {step.step}


@given(searches, examples, embeds)
def test_limits_hold_and_one_of_them_ends_it(asked: Search, examples: int, embeds: bool) -> None:
    steps, result, _ = solved(asked, examples, embeds)
    limits = asked.limits
    assert result.spending.evaluations <= limits.max_evaluations
    assert result.steps <= limits.max_steps
    assert all(len(step.candidates) <= asked.candidates for step in steps[1:])
    found_in = 0 if result.best is None else result.best.step
    match result.stop:
        case Stop.STEPS:
            assert result.steps == limits.max_steps
        case Stop.EVALUATIONS:
            assert result.spending.evaluations == limits.max_evaluations
        case Stop.PATIENCE:
            assert result.steps - found_in == limits.patience
        case Stop.DEADLINE:
            raise AssertionError("there was none")


@given(searches, examples, embeds, st.integers(0, 60))
def test_a_deadline_gives_the_best_so_far(
    asked: Search, examples: int, embeds: bool, end: int
) -> None:
    whole, complete, _ = solved(asked, examples, embeds)
    try:
        steps, result, scorer = solved(asked, examples, embeds, end + 0.5)
    except DeadlineExceeded:
        assert whole[0].best is None or end < 2
        return
    if result.stop is not Stop.DEADLINE:
        assert told(steps, result) == told(whole, complete)
        return
    assert result.best is steps[-1].best
    assert result.best is not None
    assert result.best.text == max(scorer.scored, key=scorer.value)
    assert result.texts[0] is result.best
    assert told_steps(steps[:-1]) == told_steps(whole)[: len(steps) - 1]


@given(searches, examples, embeds)
def test_equal_seeds_give_equal_events(asked: Search, examples: int, embeds: bool) -> None:
    first, second = (solved(asked, examples, embeds)[:2] for _ in range(2))
    assert told(*first) == told(*second)


@given(searches, examples, embeds, st.integers(0, 60))
def test_cancelling_starts_no_call(asked: Search, examples: int, embeds: bool, end: int) -> None:
    async def work() -> None:
        log = Log()
        proposer = Mutator(len(WORD), examples, seconds=1, log=log)
        scorer = WordScorer(WORD, embeds, seconds=1, log=log)
        task = asyncio.create_task(events(solve(asked, proposer, scorer, None, None)))
        await asyncio.sleep(end + 0.5)
        begun = len(log.calls)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(100)
        assert len(log.calls) == begun

    virtual_time.run(work())
