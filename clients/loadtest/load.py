"""Callers of a gateway."""

import asyncio
import time

import grpc
import numpy as np
from baseline import TEXT
from grpc import aio

from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2

CALLERS = 64
SIDE = 224


async def gateway_throughput(target: str, seconds: float) -> float:
    """Pictures a second of `CALLERS` callers, each with one unary Embed of one raw picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    raw = media_pb2.RawImage(height=SIDE, width=SIDE, data=pixels.tobytes())
    content = media_pb2.Content(image=media_pb2.Image(raw=raw))
    request = embedding_pb2.EmbedRequest(contents=[content])
    async with aio.insecure_channel(target) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        await stub.Embed(request)
        count = 0
        start = time.perf_counter()

        async def call() -> None:
            nonlocal count
            while time.perf_counter() - start < seconds:
                response = await stub.Embed(request)
                assert response.results[0].HasField("embedding"), response.results[0].error
                count += 1

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return count / (time.perf_counter() - start)


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
