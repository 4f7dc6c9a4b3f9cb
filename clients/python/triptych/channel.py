"""How the client's channels behave: message size, keepalive and the retry policy."""

import json
from typing import Any

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest request and response."""
DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 30.0
KEEPALIVE_TIME_MS = 60_000  # silence on an open call before the peer is probed
KEEPALIVE_TIMEOUT_MS = 20_000  # silence after the probe before the connection is given up
MAX_RECONNECT_BACKOFF_MS = 5_000  # gRPC's own would leave a restarted gateway alone for two minutes

_RETRY_POLICY: dict[str, Any] = {
    "maxAttempts": 5,  # the first included; gRPC allows no more
    "initialBackoff": "0.2s",
    "maxBackoff": "3s",
    "backoffMultiplier": 2,
}
# Calls that may run twice without harm are sent again in both cases.
_REPEATABLE = {
    "triptych.v1.EmbeddingService": ["Embed", "Rank"],
    "triptych.v1.ModelService": ["ListModels", "GetModel"],
    "triptych.v1.SearchService": [
        "GetCollection",
        "ListCollections",
        "GetItem",
        "ListItems",
        "Search",
        "BatchSearch",
    ],
    # gRPC sends a Chat or a Solve again only while nothing of its stream has come.
    "triptych.v1.MilsService": ["Solve", "Propose"],
    "triptych.v1.VisionLanguageService": ["Caption", "Answer", "Chat"],
}
# The answer to a second attempt of these would hide the success of a first that got lost
# (ALREADY_EXISTS, NOT_FOUND), so they are sent again only when a full queue turned them away.
_ONCE = {"triptych.v1.SearchService": ["CreateCollection", "DeleteCollection", "DeleteItems"]}
# The streams StreamEmbed and UpsertItems stand in neither: what was sent is not kept.


def channel_options() -> list[tuple[str, int | str]]:
    """Options of every channel. gRPC's retry policy is the only loop that retries."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_BACKOFF_MS),
        ("grpc.enable_retries", 1),
        # A request beyond this buffer would not be retried; the default holds no picture.
        ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(_service_config())),
    ]


def _service_config() -> dict[str, Any]:
    return {
        # Of a target with several addresses, such as `dns:///replicas:50051`, all are used.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            _method_config(_REPEATABLE, ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]),
            _method_config(_ONCE, ["RESOURCE_EXHAUSTED"]),
        ],
    }


def _method_config(methods: dict[str, list[str]], codes: list[str]) -> dict[str, Any]:
    return {
        "name": [
            {"service": service, "method": method}
            for service, names in methods.items()
            for method in names
        ],
        "retryPolicy": _RETRY_POLICY | {"retryableStatusCodes": codes},
    }
