"""Callers of a Triton itself, with tritonclient: what a gateway in front of it is compared with."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle

import tritonclient.grpc
import tritonclient.grpc.aio
from load import CALLERS, throughput
from triton_inputs import Tensors, triton_inputs

CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Target:
    """An encoder of the Triton at `url`, and what it is called with."""

    url: str
    encoder: str
    tensors: Tensors


def one_client(target: Target, seconds: float) -> float:
    """Calls a second of `CALLERS` callers that share a client of asyncio."""
    return asyncio.run(_asyncio_throughput(target, seconds, clients=1))


def several_clients(target: Target, seconds: float) -> float:
    """The same with `CLIENTS` connections."""
    return asyncio.run(_asyncio_throughput(target, seconds, clients=CLIENTS))


async def _asyncio_throughput(target: Target, seconds: float, clients: int) -> float:
    inputs = triton_inputs(target.tensors)
    async with AsyncExitStack() as stack:
        # Channels with equal options would share one connection.
        pool = [
            await stack.enter_async_context(
                tritonclient.grpc.aio.InferenceServerClient(
                    target.url, channel_args=[("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(clients)
        ]
        turns = cycle(pool)

        async def call() -> None:
            result = await next(turns).infer(target.encoder, inputs)
            assert result.as_numpy("features") is not None

        return await throughput(call, seconds)


def threads(target: Target, seconds: float) -> float:
    """Calls a second of `CALLERS` threads that share a blocking client."""
    inputs = triton_inputs(target.tensors)
    with (
        tritonclient.grpc.InferenceServerClient(target.url) as client,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        start = time.perf_counter()

        def caller(_: int) -> int:
            count = 0
            while time.perf_counter() - start < seconds:
                result = client.infer(target.encoder, inputs)
                assert result.as_numpy("features") is not None
                count += 1
            return count

        count = sum(pool.map(caller, range(CALLERS)))
        return count / (time.perf_counter() - start)


WAYS: Mapping[str, Callable[[Target, float], float]] = {
    "one asyncio client": one_client,
    f"{CLIENTS} asyncio clients": several_clients,
    f"{CALLERS} threads": threads,
}
