"""One way to run code around an RPC, be it unary or a bidirectional stream."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
from grpc import aio

# Called with the encoded request (None for a stream), the context and the method's full name.
Around = Callable[[bytes | None, Any, str], AbstractAsyncContextManager[None]]


class AroundInterceptor(aio.ServerInterceptor):
    """Enters `arounds`, the first one outermost, before an RPC of the triptych package and leaves
    them after.

    Health and reflection are left alone: they must answer when nothing else does.
    """

    def __init__(self, arounds: Sequence[Around]) -> None:
        self._arounds = arounds
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        method = details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(details)
        if handler is None or not method.startswith("/triptych."):
            return handler
        if handler.request_streaming != handler.response_streaming:
            raise TypeError(f"{method}: neither unary nor a bidirectional stream")
        wrapped = self._streaming if handler.response_streaming else self._unary
        return self._wrapped.setdefault(method, wrapped(handler, method))

    def _unary(self, handler: Any, method: str) -> Any:
        async def behaviour(request: bytes, context: Any) -> Any:
            return await handler.unary_unary(handler.request_deserializer(request), context)

        for around in reversed(self._arounds):
            behaviour = _unary_within(around, method, behaviour)
        # The request is parsed inside, so that a malformed one is told as any other error.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, handler.response_serializer)

    def _streaming(self, handler: Any, method: str) -> Any:
        behaviour = handler.stream_stream
        for around in reversed(self._arounds):
            behaviour = _streaming_within(around, method, behaviour)
        return grpc.stream_stream_rpc_method_handler(
            behaviour, handler.request_deserializer, handler.response_serializer
        )


def _unary_within(around: Around, method: str, inner: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        async with around(request, context, method):
            return await inner(request, context)

    return call


def _streaming_within(around: Around, method: str, inner: Any) -> Any:
    async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
        async with around(None, context, method):
            async for response in inner(requests, context):
                yield response

    return call
