"""Servers at the address of a Triton that are none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio

from triptych_server.engines.encoders.triton import TritonEngine
from triptych_server.errors import Unavailable


class Stranger(grpc.GenericRpcHandler):
    """Answers every RPC with bytes that are no message, or with a status."""

    def __init__(self, status: grpc.StatusCode | None) -> None:
        self._status = status

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        if self._status:
            await context.abort(self._status, "whatever")
        return b"\xff\xff\xff"


@pytest.fixture(
    params=[
        None,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ],
    ids=str,
)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TritonEngine]:
    server = aio.server(handlers=(Stranger(request.param),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    engine = TritonEngine(f"127.0.0.1:{port}")
    yield engine
    await engine.close()
    await server.stop(None)


async def test_they_make_the_engine_unavailable(engine: TritonEngine) -> None:
    picture = {"pixels": np.zeros((1, 8, 8, 3), np.uint8)}
    calls = (engine.ready, engine.spec, lambda name: engine.infer(name, picture))
    for call in calls:
        with pytest.raises(Unavailable, match="Triton at 127"):
            await call("image")
    with pytest.raises(Unavailable, match="Triton at 127"):
        await engine.encoders()


async def test_what_waits_for_them_fails_together(engine: TritonEngine) -> None:
    outcomes = await asyncio.gather(
        *(engine.spec("image") for _ in range(100)), return_exceptions=True
    )
    assert {type(each).__mro__[1] for each in outcomes} == {Unavailable}
