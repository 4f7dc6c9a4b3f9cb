"""A channel with the stubs of every service, deadlines, and errors in our own terms."""

from typing import TypeVar

import grpc

from triptych.channel import channel_options
from triptych.errors import from_rpc_error
from triptych.v1.embedding_pb2_grpc import EmbeddingServiceStub
from triptych.v1.mils_pb2_grpc import MilsServiceStub
from triptych.v1.model_pb2_grpc import ModelServiceStub
from triptych.v1.search_pb2_grpc import SearchServiceStub
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")


class Transport:
    """What the client and its resources call through."""

    def __init__(
        self, target: str, timeout: float, credentials: grpc.ChannelCredentials | None
    ) -> None:
        options = channel_options()
        self.channel = (
            grpc.secure_channel(target, credentials, options)
            if credentials is not None
            else grpc.insecure_channel(target, options)
        )
        self.timeout = timeout
        self.embedding = EmbeddingServiceStub(self.channel)
        self.mils = MilsServiceStub(self.channel)
        self.model = ModelServiceStub(self.channel)
        self.search = SearchServiceStub(self.channel)
        self.language = VisionLanguageServiceStub(self.channel)

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout: float | None,
        *,
        wait_for_ready: bool = False,
    ) -> Response:
        """Raises `TriptychError`. A `timeout` of None is the client's own."""
        seconds = self.timeout if timeout is None else timeout
        try:
            return method(request, timeout=seconds, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
