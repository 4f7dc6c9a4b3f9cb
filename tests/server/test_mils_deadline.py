"""Searches whose deadline comes before their end."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

import grpc
import pytest
from calls import Refusal, raw
from counted import Calls, counted_gateway
from grpc import aio
from scenes import Scenes
from searches import request

from triptych.v1.mils_pb2 import SOLVE_STOP_DEADLINE, Limits, Scoring, SolveRequest, SolveResponse
from triptych.v1.mils_pb2_grpc import MilsServiceStub
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

DEADLINE_S, LONGEST_S = 4.0, 6.0  # a caller's, and the gateway's
ATTEMPTS = 4  # of which a machine that is busy with something else may be late in all but one
# A search goes on for minutes.
ENDLESS = Limits(max_steps=1_000, patience=1_000, max_evaluations=100_000)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def stub(
    proposing_generators: Path, tmp_path: Path, calls: Calls
) -> AsyncIterator[MilsServiceStub]:
    """Of a gateway whose calls end after `LONGEST_S`."""
    settings = Settings(
        port=0,
        repository=SHIPPED_REPOSITORY,
        generators=proposing_generators,
        data=tmp_path / "data",
        threads=2,
        max_deadline_s=LONGEST_S,
    )
    async with (
        counted_gateway(settings, calls) as gateway,
        aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        yield MilsServiceStub(channel)


@pytest.fixture
def endless(scenes: Scenes) -> SolveRequest:
    return request(raw(scenes.pixels[0]), limits=ENDLESS, scoring=Scoring(finalists=4))


async def stuck(
    responses: AsyncIterable[SolveResponse], calls: Calls
) -> AsyncIterator[SolveResponse]:
    """From the third on, engines give nothing before the end."""
    seen = 0
    async for each in responses:
        seen += 1
        if seen == 3:
            calls.holding.clear()
        yield each


@pytest.mark.parametrize("deadline_s", [DEADLINE_S, None])
async def test_the_best_so_far_comes_before_the_deadline(
    stub: MilsServiceStub, calls: Calls, endless: SolveRequest, deadline_s: float | None
) -> None:
    for _ in range(ATTEMPTS):
        calls.holding.set()
        started = time.monotonic()
        responses = stuck(stub.Solve(endless, timeout=deadline_s), calls)
        try:
            *steps, last = [each async for each in responses]
        except aio.AioRpcError as late:
            if late.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        else:
            break
    else:
        pytest.fail("each attempt was late")
    assert time.monotonic() - started > 0.8 * (deadline_s or LONGEST_S)
    assert last.result.stop == SOLVE_STOP_DEADLINE
    assert last.result.best == steps[-1].step.best == last.result.texts[0]
    assert last.result.steps == steps[-1].step.step > 0
    await calls.quiet()
    assert calls.late == []


async def test_deadline_before_the_seeds_are_scored_is_exceeded(
    stub: MilsServiceStub, calls: Calls, endless: SolveRequest
) -> None:
    held = asyncio.Event()
    calls.holding = held
    with pytest.raises(aio.AioRpcError) as caught:
        async for _ in stub.Solve(endless, timeout=2):
            pass
    assert Refusal(caught.value).code is grpc.StatusCode.DEADLINE_EXCEEDED
    held.set()
    await calls.quiet()
    assert calls.late == []
