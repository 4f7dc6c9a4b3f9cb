"""media.proto: its rules, and its messages to values and back."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration

from triptych.v1 import media_pb2
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.errors import InvalidArgument, TriptychError, Violation
from triptych_server.media.content import Content, EncodedImage, Image, RawImage, Text
from triptych_server.services.rules import (
    all_of,
    between,
    characters,
    check,
    encoded_bytes,
    fields,
    first_of,
    matching,
    not_blank,
    one_of,
    vector_data,
)

MIB = 1024 * 1024

MODEL_NAME = matching(r"[\w.-]{0,128}", "a model's name: letters, digits, `.`, `_` and `-`")


def _raw_size(image: media_pb2.RawImage, path: str) -> Iterator[Violation]:
    expected = image.height * image.width * 3
    if len(image.data) != expected:
        yield Violation(
            f"{path}.data",
            f"must have {image.height} x {image.width} x 3 = {expected:,} bytes, "
            f"has {len(image.data):,}",
        )


TEXT = all_of(not_blank, characters(0, 1_000_000))
IMAGE = one_of(
    "source",
    encoded=encoded_bytes(20 * MIB),
    raw=first_of(fields(height=between(1, 16_384), width=between(1, 16_384)), _raw_size),
)
CONTENT = one_of("kind", text=TEXT, image=IMAGE)
VECTOR = first_of(fields(dimension=between(1, 65_536)), vector_data)


def content(message: media_pb2.Content) -> Content:
    """A valid message as a value."""
    if message.WhichOneof("kind") == "text":
        return Text(message.text)
    return image(message.image)


def image(message: media_pb2.Image) -> Image:
    """A valid message as a value."""
    if message.WhichOneof("source") == "raw":
        return RawImage(message.raw.height, message.raw.width, message.raw.data)
    return EncodedImage(message.encoded)


def content_or_error(message: media_pb2.Content) -> Content | InvalidArgument:
    """A message as a value, or what is wrong with it."""
    try:
        check(CONTENT, message)
    except InvalidArgument as error:
        return error
    return content(message)


def image_or_error(message: media_pb2.Image) -> Image | InvalidArgument:
    """A message as a value, or what is wrong with it."""
    try:
        check(IMAGE, message)
    except InvalidArgument as error:
        return error
    return image(message)


def vector(message: media_pb2.Vector) -> npt.NDArray[np.float32]:
    """A valid message as `[D]` float32."""
    return np.frombuffer(message.data, "<f4").astype(np.float32, copy=False)


def vector_message(values: npt.NDArray[np.float32]) -> media_pb2.Vector:
    return media_pb2.Vector(data=values.astype("<f4").tobytes(), dimension=len(values))


def item_error(error: TriptychError) -> media_pb2.ItemError:
    return media_pb2.ItemError(
        code=error.code,
        reason=error.reason,
        field=error.field,
        message=error.message,
        retry_after=None if error.retry_after is None else duration(error.retry_after * 1e9),
    )


def timing(watch: Stopwatch, times: StageTimes) -> media_pb2.Timing:
    return media_pb2.Timing(
        total=duration(watch.ns()),
        preprocess=duration(times.preprocess_ns),
        queue=duration(times.queue_ns),
        inference=duration(times.inference_ns),
        batch_size=times.batch_size,
        generation=duration(times.generation_ns),
        first_token=(
            None if times.first_token_at is None else duration(watch.until(times.first_token_at))
        ),
    )


def duration(nanoseconds: float) -> Duration:
    seconds, nanos = divmod(int(nanoseconds), 1_000_000_000)
    return Duration(seconds=seconds, nanos=nanos)


def content_message(kind: str, data: bytes) -> media_pb2.Content:
    """Stored content as it is returned."""
    if kind == "text":
        return media_pb2.Content(text=data.decode())
    return media_pb2.Content(image=media_pb2.Image(encoded=data))
