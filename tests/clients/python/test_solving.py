"""Searches of the blocking client: steps as they come, and how they end."""

import threading
from typing import Any

import numpy as np
import pytest

from triptych import (
    Client,
    Limits,
    Proposal,
    ScoredText,
    Scoring,
    Seeds,
    SolveResult,
    SolveStep,
    SolveStop,
    Spending,
    Timing,
    Usage,
    errors,
)
from triptych.mils_responses import solve_event
from triptych.v1 import mils_pb2

WAIT_S = 30  # of a test that would fail
RED = np.zeros((4, 4, 3), np.uint8)
TWO_STEPS = Limits(max_steps=2)
WAITING = {"limits": TWO_STEPS, "proposal": Proposal(guidance="wait")}


def test_a_search_gives_its_steps_and_then_its_result(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        stream = client.solve(RED, seeds=Seeds(texts=["a", "b"]), limits=TWO_STEPS)
        *steps, result = list(stream)
    first, second = ScoredText("found 1", 0.375, 1), ScoredText("found 2", 0.5, 2)
    seed = ScoredText("a", 0.25, 0)
    assert steps[0] == SolveStep(0, seed, (seed, ScoredText("b", 0.25, 0)), Spending(), Timing())
    spent = Spending(evaluations=10, usage=Usage(completion_tokens=100))
    assert steps[1] == SolveStep(1, first, (first,), spent, Timing())
    assert isinstance(result, SolveResult)
    assert result.texts == (second, first, seed)
    assert (result.text, result.best, result.stop) == ("found 2", second, SolveStop.STEPS)
    assert (result.steps, result.space, result.proposal_model) == (2, "a space", "writer")
    assert (result.scorer_models, result.finalist_model) == (("scorer",), "")
    assert (stream.result, stream.best) == (result, second)


def test_run_waits_for_the_result(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        result = client.solve(RED, limits=TWO_STEPS, scoring=Scoring(finalists=2)).run()
    assert [text.matching_score for text in result.texts] == [0.75, None]


def test_a_search_may_find_nothing(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        result = client.solve(RED, limits=Limits(max_steps=0)).run()
    assert (result.texts, result.best, result.text) == ((), None, "")


def test_nothing_is_sent_before_the_first_step_is_asked_for(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        stream = client.solve(RED, limits=TWO_STEPS)
        assert searcher.requests == []
        stream.run()
        assert len(searcher.requests) == 1


def test_the_gateway_is_told_the_deadline_of_the_whole_search(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher), timeout=20) as client:
        client.solve(RED).run()
        client.solve(RED, timeout=400).run()
    assert 10 < searcher.deadlines[0] < 30
    assert 390 < searcher.deadlines[1] < 410


def test_leaving_the_block_cancels_the_search_and_keeps_the_best(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        with client.solve(RED, **WAITING) as stream:
            next(stream)
            next(stream)
        assert searcher.ended.wait(WAIT_S)
        assert (list(stream), stream.result) == ([], None)
        assert stream.best is not None
        assert stream.best.text == "found 1"
        with pytest.raises(errors.TriptychError, match="before it had a result"):
            stream.run()


def test_a_stream_that_is_closed_from_elsewhere_ends(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        stream = client.solve(RED, **WAITING)
        next(stream)
        threading.Timer(0.1, client.close).start()
        with pytest.raises(errors.TriptychError):
            stream.run()
        assert searcher.ended.wait(WAIT_S)


def test_an_error_on_the_way_is_raised_and_leaves_the_best(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        stream = client.solve(RED, limits=TWO_STEPS, proposal=Proposal(guidance="fail"))
        with pytest.raises(errors.UnavailableError, match="gone"):
            stream.run()
    assert stream.best is not None
    assert (stream.best.text, stream.result) == ("found 1", None)
    assert len(searcher.requests) == 1


def test_a_gateway_that_falls_silent_runs_into_the_deadline(serve: Any, searcher: Any) -> None:
    with Client(serve(searcher)) as client:
        stream = client.solve(RED, timeout=2, **WAITING)
        with pytest.raises(errors.DeadlineExceededError):
            stream.run()
        assert searcher.ended.wait(WAIT_S)
    assert stream.best is not None


def test_what_a_newer_gateway_tells_is_left_out() -> None:
    assert solve_event(mils_pb2.SolveResponse()) is None
    newer = solve_event(mils_pb2.SolveResponse(result=mils_pb2.SolveResult(stop=99)))
    assert isinstance(newer, SolveResult)
    assert newer.stop is None


def test_subjects_give_captions_in_their_order(serve: Any, searcher: Any) -> None:
    subjects = [f"dog {number}" for number in range(65)]
    with Client(serve(searcher)) as client:
        proposed = client.propose(subjects, count=2)
    assert len(proposed) == 65
    assert proposed[64] == ("a dog 64 0", "a dog 64 1")
    assert (proposed.model, proposed.unparsed, proposed.usage) == ("writer", 2, Usage(2, 4))
