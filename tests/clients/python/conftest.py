"""Local gRPC servers of a few lines, for what a gateway cannot be made to do on cue."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from triptych.v1 import embedding_pb2_grpc, model_pb2_grpc, search_pb2, search_pb2_grpc

ADD = (
    (
        embedding_pb2_grpc.EmbeddingServiceServicer,
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server,
    ),
    (search_pb2_grpc.SearchServiceServicer, search_pb2_grpc.add_SearchServiceServicer_to_server),
    (model_pb2_grpc.ModelServiceServicer, model_pb2_grpc.add_ModelServiceServicer_to_server),
)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve a servicer on a free port and return its target; stops with the test."""
    servers: list[grpc.Server] = []

    def start(servicer: Any, address: str = "127.0.0.1:0") -> str:
        server = grpc.server(
            ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)]
        )
        for base, add in ADD:
            if isinstance(servicer, base):
                add(servicer, server)
        port = server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


class Recorder(search_pb2_grpc.SearchServiceServicer):
    """Answers upserts in groups of `group`, with 0 never; `ended` is set when a stream is over."""

    def __init__(self, group: int = 1) -> None:
        self.group = group
        self.received: list[str] = []
        self.first = threading.Event()
        self.ended = threading.Event()

    def UpsertItems(self, requests: Any, context: Any) -> Any:
        context.add_callback(self.ended.set)
        waiting: list[str] = []
        for request in requests:
            self.received.append(request.item.id)
            self.first.set()
            waiting.append(request.item.id)
            if request.item.id == "abort":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no more")
            if len(waiting) == self.group:
                yield from map(upserted, waiting)
                waiting = []
        if self.group:
            yield from map(upserted, waiting)


def upserted(item_id: str) -> search_pb2.UpsertItemsResponse:
    return search_pb2.UpsertItemsResponse(
        id=item_id, upserted=search_pb2.UpsertedItem(created=True)
    )


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
