"""Callers of a gateway, and of anything else that is called."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
import numpy as np
from baseline import TEXT
from grpc import aio

from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2

CALLERS = 64
SIDE = 224

Call = Callable[[], Awaitable[object]]


async def throughput(call: Call, seconds: float, callers: int = CALLERS) -> float:
    """Calls a second, each caller making one after the other."""
    await call()
    count = 0
    start = time.perf_counter()

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() - start < seconds:
            await call()
            count += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - start)


async def latencies(call: Call, calls: int) -> list[float]:
    """Seconds of calls made one after the other."""
    each = []
    for _ in range(calls):
        start = time.perf_counter()
        await call()
        each.append(time.perf_counter() - start)
    return each


async def gateway_throughput(target: str, seconds: float) -> float:
    """Pictures a second of `CALLERS` callers, each with one unary Embed of one raw picture."""
    request = embedding_pb2.EmbedRequest(contents=[raw_picture(SIDE, SIDE)])
    async with aio.insecure_channel(target) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        async def call() -> None:
            response = await stub.Embed(request)
            assert response.results[0].HasField("embedding"), response.results[0].error

        return await throughput(call, seconds)


def served_latencies(target: str, calls: int) -> list[float]:
    """Seconds of one unary Embed of a text, one after the other."""
    request = embedding_pb2.EmbedRequest(contents=[media_pb2.Content(text=TEXT)])
    with grpc.insecure_channel(target) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        stub.Embed(request)
        latencies = []
        for _ in range(calls):
            start = time.perf_counter()
            stub.Embed(request)
            latencies.append(time.perf_counter() - start)
    return latencies


def raw_picture(height: int, width: int) -> media_pb2.Content:
    """Noise, the same every time."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    raw = media_pb2.RawImage(height=height, width=width, data=pixels.tobytes())
    return media_pb2.Content(image=media_pb2.Image(raw=raw))
