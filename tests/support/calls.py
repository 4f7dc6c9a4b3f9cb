"""Messages to and from a gateway, and what its refusals say."""

import io

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from PIL import Image

from triptych.v1 import (
    embedding_pb2_grpc,
    media_pb2,
    mils_pb2_grpc,
    model_pb2_grpc,
    search_pb2_grpc,
    vision_language_pb2_grpc,
)

MODEL = "miniworld-clip"


class Stubs:
    """The gateway's services on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.embedding = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self.mils = mils_pb2_grpc.MilsServiceStub(channel)
        self.search = search_pb2_grpc.SearchServiceStub(channel)
        self.model = model_pb2_grpc.ModelServiceStub(channel)
        self.vision_language = vision_language_pb2_grpc.VisionLanguageServiceStub(channel)


def text(value: str) -> media_pb2.Content:
    return media_pb2.Content(text=value)


def raw(pixels: np.ndarray) -> media_pb2.Content:
    height, width, _ = pixels.shape
    image = media_pb2.RawImage(height=height, width=width, data=pixels.tobytes())
    return media_pb2.Content(image=media_pb2.Image(raw=image))


def encoded(data: bytes) -> media_pb2.Content:
    return media_pb2.Content(image=media_pb2.Image(encoded=data))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def vector(values: np.ndarray) -> media_pb2.Vector:
    return media_pb2.Vector(data=values.astype("<f4").tobytes(), dimension=len(values))


def array(message: media_pb2.Vector) -> np.ndarray:
    values = np.frombuffer(message.data, "<f4")
    assert len(values) == message.dimension
    return values


class Refusal:
    """What a refused call says: code, reason, fields, and the delay before another try."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code = error.code()
        self.message = error.details()
        self.reason = ""
        self.fields: list[str] = []
        self.retry_after: float | None = None
        status = rpc_status.from_call(error) or status_pb2.Status()
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            bad = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                assert info.domain == "triptych"
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]
            elif detail.Unpack(retry):
                self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()


def refusal(method: grpc.UnaryUnaryMultiCallable, request: object) -> Refusal:
    """Call and expect an error."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request)
    return Refusal(caught.value)
