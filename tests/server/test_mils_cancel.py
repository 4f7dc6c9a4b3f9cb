"""Searches whose caller has gone: no engine is asked for more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from calls import raw
from counted import Calls, counted_gateway
from grpc import aio
from scenes import Scenes
from searches import request

from triptych.v1.mils_pb2 import Limits, Proposal, Scoring, SolveRequest
from triptych.v1.mils_pb2_grpc import MilsServiceStub
from triptych_server.app import Gateway
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

WAIT_S = 20  # of a test that would fail


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def gateway(
    proposing_generators: Path, tmp_path: Path, calls: Calls
) -> AsyncIterator[Gateway]:
    """It remembers no vectors, so that equal searches ask for as much, and has little room."""
    settings = Settings(
        port=0,
        repository=SHIPPED_REPOSITORY,
        generators=proposing_generators,
        data=tmp_path / "data",
        text_cache_bytes=0,
        queue_rows=16,
        threads=1,
        drain_s=0,
    )
    async with counted_gateway(settings, calls) as gateway:
        yield gateway


@pytest.fixture
def asked(scenes: Scenes) -> SolveRequest:
    return request(
        raw(scenes.pixels[0]),
        proposal=Proposal(candidates=20),
        limits=Limits(max_steps=2),
        scoring=Scoring(finalists=12),
    )


async def run(gateway: Gateway, asked: SolveRequest) -> None:
    async with aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        async for _ in MilsServiceStub(channel).Solve(asked):
            pass


async def leave_at(
    gateway: Gateway, asked: SolveRequest, calls: Calls, number: int, how: str
) -> None:
    """Go when so many calls of engines have begun, and return when the search has ended."""
    reached = asyncio.Event()
    calls.reset()
    calls.began = lambda begun: reached.set() if begun == number else None
    async with aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        call = MilsServiceStub(channel).Solve(asked)
        reading = asyncio.create_task(read(call))
        async with asyncio.timeout(WAIT_S):
            await reached.wait()
            if how == "cancel":
                call.cancel()
            else:
                await channel.close()
            await asyncio.wait(calls.searches)
            await reading
    await calls.quiet()


async def read(call: aio.UnaryStreamCall) -> None:
    with suppress(aio.AioRpcError, asyncio.CancelledError, aio.UsageError):
        async for _ in call:
            pass


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
async def test_no_engine_is_asked_once_a_cancel_has_come(
    gateway: Gateway, calls: Calls, asked: SolveRequest, how: str
) -> None:
    await run(gateway, asked)
    whole = calls.started
    assert whole > 15
    ended_early = 0
    for number in range(1, whole + 1):
        await leave_at(gateway, asked, calls, number, how)
        assert calls.late == [], f"after {number} of {whole} calls"
        ended_early += calls.started < whole
    assert ended_early > whole / 2
    calls.reset()
    await run(gateway, asked)
    assert calls.started == whole
