"""Many searches at once, in a gateway with little room."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import Refusal, raw, text
from counted import Calls, counted_gateway
from grpc import aio
from scenes import Scenes
from searches import Solved, request, solved

from triptych.v1.embedding_pb2 import EmbedRequest
from triptych.v1.embedding_pb2_grpc import EmbeddingServiceStub
from triptych.v1.mils_pb2 import Proposal, Scoring, SolveRequest
from triptych.v1.mils_pb2_grpc import MilsServiceStub
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

SEARCHES = 32
TEXT = "miniworld-clip-text"


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def searches(scenes: Scenes) -> Sequence[SolveRequest]:
    """Of different pictures."""
    return [
        request(
            raw(pixels), seed=seed, proposal=Proposal(candidates=16), scoring=Scoring(finalists=2)
        )
        for seed, pixels in enumerate(scenes.pixels[:SEARCHES])
    ]


@asynccontextmanager
async def gateway(
    generators: Path, data: Path, calls: Calls, **room: Any
) -> AsyncIterator[aio.Channel]:
    settings = Settings(
        port=0,
        repository=SHIPPED_REPOSITORY,
        generators=generators,
        data=data,
        threads=1,
        drain_s=0,
        **room,
    )
    async with (
        counted_gateway(settings, calls) as started,
        aio.insecure_channel(f"127.0.0.1:{started.port}") as channel,
    ):
        yield channel


async def solve(channel: aio.Channel, asked: SolveRequest) -> Solved:
    return solved([each async for each in MilsServiceStub(channel).Solve(asked, timeout=200)])


async def test_searches_that_have_begun_wait_for_room(
    proposing_generators: Path, tmp_path: Path, calls: Calls, searches: Sequence[SolveRequest]
) -> None:
    refused = []

    async def attempt(channel: aio.Channel, asked: SolveRequest) -> None:
        """Once an event has come, the last one does."""
        responses = aiter(MilsServiceStub(channel).Solve(asked, timeout=200))
        try:
            first = await anext(responses)
        except aio.AioRpcError as error:
            refused.append(Refusal(error))
            await asyncio.sleep(refused[-1].retry_after or 0)
            return await attempt(channel, asked)
        found = solved([first, *[each async for each in responses]])
        assert found.bests == sorted(found.bests)
        return None

    room = {"queue_rows": 8, "generator_queue": 2}
    async with gateway(proposing_generators, tmp_path, calls, **room) as channel:
        await asyncio.gather(*(attempt(channel, asked) for asked in searches))
    for each in refused:
        assert (each.code, each.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert each.retry_after


async def test_texts_of_searches_meet_in_batches(
    proposing_generators: Path, tmp_path: Path, calls: Calls, searches: Sequence[SolveRequest]
) -> None:
    async with gateway(proposing_generators, tmp_path, calls, text_cache_bytes=0) as channel:
        one_by_one = [await solve(channel, asked) for asked in searches[:4]]
        alone = calls.rows_of_a_batch(TEXT)
        calls.reset()
        together = await asyncio.gather(*(solve(channel, asked) for asked in searches))
        assert calls.rows_of_a_batch(TEXT) > 1.1 * alone
    for found, expected in zip(together, one_by_one, strict=False):
        assert found.course == expected.course


async def test_single_calls_find_room_beside_searches(
    proposing_generators: Path, tmp_path: Path, calls: Calls, searches: Sequence[SolveRequest]
) -> None:
    async with gateway(proposing_generators, tmp_path, calls, text_cache_bytes=0) as channel:
        running = [asyncio.create_task(solve(channel, asked)) for asked in searches]
        stub = EmbeddingServiceStub(channel)
        answers = 0
        while not all(each.done() for each in running):
            await stub.Embed(EmbedRequest(contents=[text(f"a red circle, {answers}")]))
            answers += 1
        await asyncio.gather(*running)
    assert answers > 10
