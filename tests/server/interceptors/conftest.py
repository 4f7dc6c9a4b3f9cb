"""A gRPC server whose RPCs are given by the test and run within the given arounds."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from grpc import aio

from triptych.v1 import embedding_pb2_grpc, vision_language_pb2_grpc
from triptych_server.interceptors.wrapping import Answered, Around, AroundInterceptor

Serve = Callable[..., Any]


class Service(
    embedding_pb2_grpc.EmbeddingServiceServicer,
    vision_language_pb2_grpc.VisionLanguageServiceServicer,
):
    def __init__(self, methods: dict[str, Any]) -> None:
        vars(self).update(methods)


class Stub:
    """One method of each kind: unary, of a stream, and server-streamed."""

    def __init__(self, channel: aio.Channel) -> None:
        embedding = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self.channel = channel
        self.Embed = embedding.Embed
        self.StreamEmbed = embedding.StreamEmbed
        self.Chat = vision_language_pb2_grpc.VisionLanguageServiceStub(channel).Chat


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Call with the arounds and the methods by name; returns the stub."""
    async with AsyncExitStack() as stack:

        async def start(*arounds: Around, answered: Answered | None = None, **methods: Any) -> Stub:
            server = aio.server(interceptors=[AroundInterceptor(arounds, answered)])
            service = Service(methods)
            embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(service, server)
            vision_language_pb2_grpc.add_VisionLanguageServiceServicer_to_server(service, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, None)
            channel = aio.insecure_channel(f"127.0.0.1:{port}")
            return Stub(await stack.enter_async_context(channel))

        yield start
