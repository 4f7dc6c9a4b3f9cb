"""gRPC channels to Tritons: how RPCs are balanced, retried and kept alive."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tritonclient.grpc.aio import InferenceServerClient

from triptych_server.engines.encoders.triton_addresses import Address, target

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
                "retryableStatusCodes": ["UNAVAILABLE"],
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


@dataclass(slots=True, eq=False)
class _Channel:
    client: InferenceServerClient
    users: int = 0
    wanted: bool = True


@dataclass(slots=True)
class Channels:
    """One channel a set of Tritons. Channels share the connections to a Triton that is in several
    sets, so a new one costs no new connection. Create and use it on one event loop."""

    _open: dict[tuple[Address, ...], _Channel] = field(default_factory=dict)

    @asynccontextmanager
    async def to(self, addresses: tuple[Address, ...]) -> AsyncIterator[InferenceServerClient]:
        """A client whose RPCs take turns among `addresses`, at least one, as long as the block
        lasts."""
        channel = self._open.get(addresses)
        if channel is None:
            client = InferenceServerClient(target(addresses), channel_args=CHANNEL_OPTIONS)
            channel = self._open[addresses] = _Channel(client)
        channel.users += 1
        try:
            yield channel.client
        finally:
            channel.users -= 1
            if not channel.wanted and not channel.users:
                await channel.client.close()

    async def keep(self, wanted: Collection[tuple[Address, ...]]) -> None:
        """Close all other channels, each when its last RPC is back."""
        for addresses in self._open.keys() - wanted:
            channel = self._open.pop(addresses)
            channel.wanted = False
            if not channel.users:
                await channel.client.close()

    async def close(self) -> None:
        """Close all channels and cancel their RPCs."""
        while self._open:
            _, channel = self._open.popitem()
            await channel.client.close()
