"""One way to run code around an RPC, be it unary, server-streamed or a bidirectional stream."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc
from grpc import aio

# Called with the encoded request (None for a stream of requests), the context and the full name of
# the method.
Around = Callable[[bytes | None, Any, str], AbstractAsyncContextManager[None]]
# Called with the full name of the method and each response, before it is sent.
Answered = Callable[[str, Any], None]


class AroundInterceptor(aio.ServerInterceptor):
    """Enters `arounds`, the first one outermost, before an RPC of the triptych package and leaves
    them after. `answered` sees every response.

    Health and reflection are left alone: they must answer when nothing else does.
    """

    def __init__(self, arounds: Sequence[Around], answered: Answered | None = None) -> None:
        self._arounds = arounds
        self._answered = answered
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
        return self._wrapped.setdefault(method, self._wrap(handler, method))

    def _wrap(self, handler: Any, method: str) -> Any:
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                return self._unary(handler, method)
            case False, True:
                return self._server_streamed(handler, method)
            case True, True:
                return self._bidirectional(handler, method)
        raise TypeError(f"{method}: requests are streamed to one response")

    def _unary(self, handler: Any, method: str) -> Any:
        async def behaviour(request: bytes, context: Any) -> Any:
            # Parsed inside, so that a malformed request is told as any other error.
            return await handler.unary_unary(handler.request_deserializer(request), context)

        return grpc.unary_unary_rpc_method_handler(
            self._within(method, behaviour), None, self._serializer(handler, method)
        )

    def _server_streamed(self, handler: Any, method: str) -> Any:
        async def behaviour(request: bytes, context: Any) -> None:
            responses = handler.unary_stream(handler.request_deserializer(request), context)
            # Written here and not yielded to gRPC: a caller who is gone, or reads slower than its
            # deadline allows, ends the work at once and not when the generator is collected.
            async with aclosing(responses):
                async for response in responses:
                    await context.write(response)

        return grpc.unary_stream_rpc_method_handler(
            self._within(method, behaviour), None, self._serializer(handler, method)
        )

    def _bidirectional(self, handler: Any, method: str) -> Any:
        behaviour = handler.stream_stream
        for around in reversed(self._arounds):
            behaviour = _streaming_within(around, method, behaviour)
        return grpc.stream_stream_rpc_method_handler(
            behaviour, handler.request_deserializer, self._serializer(handler, method)
        )

    def _serializer(self, handler: Any, method: str) -> Any:
        """The one place that all kinds of responses pass through."""
        answered = self._answered
        if answered is None:
            return handler.response_serializer

        def serialize(response: Any) -> bytes:
            answered(method, response)
            return bytes(handler.response_serializer(response))

        return serialize

    def _within(self, method: str, behaviour: Any) -> Any:
        """All arounds about an RPC of one request."""
        for around in reversed(self._arounds):
            behaviour = _call_within(around, method, behaviour)
        return behaviour


def _call_within(around: Around, method: str, inner: Any) -> Any:
    async def call(request: bytes, context: Any) -> Any:
        async with around(request, context, method):
            return await inner(request, context)

    return call


def _streaming_within(around: Around, method: str, inner: Any) -> Any:
    async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
        async with around(None, context, method):
            async for response in inner(requests, context):
                yield response

    return call
