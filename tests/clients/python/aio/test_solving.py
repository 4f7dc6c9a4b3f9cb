"""Searches of the asyncio client: steps as they come, and how they end."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from triptych import Limits, Proposal, Seeds, SolveResult, SolveStep, SolveStop, Usage, errors
from triptych.aio import Client

WAIT_S = 30  # of a test that would fail
RED = np.zeros((4, 4, 3), np.uint8)
TWO_STEPS = Limits(max_steps=2)
WAITING = {"limits": TWO_STEPS, "proposal": Proposal(guidance="wait")}


async def test_a_search_gives_its_steps_and_then_its_result(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        stream = client.solve(RED, seeds=Seeds(texts=["a", "b"]), limits=TWO_STEPS)
        assert searcher.requests == []
        events = [event async for event in stream]
    assert [type(event) for event in events] == [SolveStep] * 3 + [SolveResult]
    assert stream.result is events[-1]
    assert (stream.result.text, stream.result.stop) == ("found 2", SolveStop.STEPS)


async def test_run_waits_for_the_result(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher), timeout=20) as client:
        assert (await client.solve(RED, limits=TWO_STEPS).run()).text == "found 2"
    assert 10 < searcher.deadlines[0] < 30


async def test_leaving_the_block_cancels_the_search(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        async with client.solve(RED, **WAITING) as stream:
            await anext(stream)
        assert await asyncio.to_thread(searcher.ended.wait, WAIT_S)
        with pytest.raises(errors.TriptychError, match="before it had a result"):
            await stream.run()


async def test_closing_cancels_the_search_and_keeps_the_best(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        async with aclosing(client.solve(RED, **WAITING)) as stream:
            await anext(stream)
            await anext(stream)
        assert await asyncio.to_thread(searcher.ended.wait, WAIT_S)
    assert stream.best is not None
    assert stream.best.text == "found 1"


async def test_cancelling_the_reader_cancels_the_search(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        stream = client.solve(RED, **WAITING)
        await anext(stream)
        reader = asyncio.create_task(stream.run())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.to_thread(searcher.ended.wait, WAIT_S)


async def test_an_error_on_the_way_is_raised_and_leaves_the_best(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        stream = client.solve(RED, limits=TWO_STEPS, proposal=Proposal(guidance="fail"))
        with pytest.raises(errors.UnavailableError, match="gone"):
            await stream.run()
    assert stream.best is not None
    assert len(searcher.requests) == 1


async def test_a_gateway_that_falls_silent_runs_into_the_deadline(
    serve: Any, searcher: Any
) -> None:
    async with Client(serve(searcher)) as client:
        with pytest.raises(errors.DeadlineExceededError):
            await client.solve(RED, timeout=2, **WAITING).run()
        assert await asyncio.to_thread(searcher.ended.wait, WAIT_S)


async def test_subjects_give_captions_in_their_order(serve: Any, searcher: Any) -> None:
    async with Client(serve(searcher)) as client:
        proposed = await client.propose([f"dog {number}" for number in range(65)], count=2)
    assert proposed[64] == ("a dog 64 0", "a dog 64 1")
    assert (proposed.model, proposed.unparsed, proposed.usage) == ("writer", 2, Usage(2, 4))
