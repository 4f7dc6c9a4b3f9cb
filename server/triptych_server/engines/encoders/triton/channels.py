"""gRPC channels to Tritons: how RPCs are balanced, retried and kept alive."""

import asyncio
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf.message import Message
from grpc import aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from triptych_server.engines.encoders.triton.addresses import Address, target
from triptych_server.engines.encoders.triton.errors import Unserved

# Requests take turns among the Tritons. One whose connection broke, or which is shutting down, is
# tried again on the next: an inference changes nothing, so it may run twice. Triton tells a full
# queue by the same status: the throttle lets an overload cost `maxTokens / 2` retries and then one
# for ten answers. gRPC's own health checking is left out because Triton does not implement
# grpc.health.v1's Watch, and gRPC would log an error a connection; the engine names only Tritons
# that serve the model.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService", "method": "ModelInfer"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                # Triton cancels what it still computes when it shuts down.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
}
CHANNEL_OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    # What is larger is not tried again. Nothing is set aside: it bounds what an RPC keeps anyway.
    ("grpc.per_rpc_retry_buffer_size", 2**31 - 1),
    ("grpc.max_send_message_length", -1),  # unlimited: the gateway bounds its own requests
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's two minutes would outlast Triton's restart
    ("grpc.keepalive_time_ms", 30_000),  # notices a host that vanished without a word
    ("grpc.keepalive_timeout_ms", 10_000),
]
GRACE_S = 5.0  # for RPCs that are out when their set of Tritons changes


class Client:
    """RPCs that take turns among some Tritons. They fail with `grpc.RpcError`, or with `Unserved`
    when the client is closed meanwhile or the answer is none of a Triton's."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._channel = aio.insecure_channel(target(addresses), CHANNEL_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        # Triton's own stub would encode tensors slowly.
        self._infer: Any = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        self._closing = False

    async def infer(self, request: bytes, timeout_s: float) -> Any:
        """Send an encoded ModelInferRequest; returns the ModelInferResponse."""
        return await self._answer(self._infer(request, timeout=timeout_s))

    async def ask(self, rpc: str, request: Message, timeout_s: float) -> Any:
        """Call another RPC of Triton's, by its name."""
        return await self._answer(getattr(self._stub, rpc)(request, timeout=timeout_s))

    async def close(self) -> None:
        """Cancel what is out."""
        self._closing = True
        await self._channel.close()

    async def _answer(self, call: Any) -> Any:
        try:
            answer = await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closing or task is None or task.cancelling():
                raise
            raise Unserved("the encoder moved to other Tritons during the call") from None
        if answer is None:  # what gRPC cannot read it logs, and leaves out
            raise Unserved(f"Triton at {', '.join(self._addresses)} answers what cannot be read")
        return answer


class Channels:
    """One client a set of Tritons. They share the connections to a Triton that is in several sets,
    so a new one costs no new connection. Create and use it on one event loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[Address, ...], Client] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    def to(self, addresses: tuple[Address, ...]) -> Client:
        """The client of at least one address, for one RPC that is sent at once."""
        client = self._open.get(addresses)
        if client is None:
            client = self._open[addresses] = Client(addresses)
        return client

    def keep(self, wanted: Collection[tuple[Address, ...]]) -> None:
        """Close all other clients. Their RPCs get `GRACE_S` to come back: one of these Tritons may
        hang."""
        for addresses in self._open.keys() - wanted:
            leaving = asyncio.create_task(self._leave(self._open.pop(addresses)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close all clients, and cancel their RPCs."""
        self._closed.set()
        await asyncio.gather(*self._leaving, *(client.close() for client in self._open.values()))
        self._open.clear()

    async def _leave(self, client: Client) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), GRACE_S)
        await client.close()
