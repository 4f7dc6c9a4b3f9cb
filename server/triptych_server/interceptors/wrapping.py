"""One way to run code around an RPC, whatever its kind."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
from grpc import aio

# Called with the request (None for a stream of requests), the context and the method's full name.
Around = Callable[[Any, Any, str], AbstractAsyncContextManager[None]]


class AroundInterceptor(aio.ServerInterceptor):
    """Enters `around` before an RPC of the triptych package and leaves it after.

    Health and reflection are left alone: they must answer when nothing else does.
    """

    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/triptych."):
            return handler
        if handler.response_streaming:
            return self._streaming(handler, details.method)
        return self._unary(handler, details.method)

    def _unary(self, handler: Any, method: str) -> Any:
        async def call(request: Any, context: Any) -> Any:
            async with self._around(request, context, method):
                return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    def _streaming(self, handler: Any, method: str) -> Any:
        async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
            async with self._around(None, context, method):
                async for response in handler.stream_stream(requests, context):
                    yield response

        return grpc.stream_stream_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )
