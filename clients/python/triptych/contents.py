"""Text and pictures, as callers have them, to `Content` messages.

Only what cannot be put into a message is refused here; whether a text is blank or a file
really a picture is for the gateway to say, which answers for each input apart.
"""

import io
import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from triptych.v1 import media_pb2

MIB = 1024 * 1024
MAX_ENCODED_BYTES = 20 * MIB
MAX_PIXELS = 64_000_000
# Pixels beyond this are sent as a JPEG file of high quality: no model sees the difference, and a
# message holds them.
MAX_RAW_BYTES = 16 * MIB
JPEG_QUALITY = 95

Picture: TypeAlias = (
    os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[np.uint8]
)
"""A picture file by path, its bytes, a Pillow image, or pixels `[H, W, 3]` uint8 in RGB order.

A Pillow image as opened from a file is turned as its EXIF orientation says, just as the file would
be; an image that was made from another is taken as it is.
"""
Content: TypeAlias = str | Picture
"""Text (every `str`), or a picture."""

_PNG_MODES = {
    "1",
    "I",
    "I;16",
    "L",
    "LA",
    "P",
    "RGBA",
}  # what the gateway converts by its own rules


def check(content: object, where: str) -> None:
    """Refuse what cannot be sent, without reading a file.

    Raises `TypeError`, `ValueError` or `FileNotFoundError`, naming `where`.
    """
    match content:
        case str():
            check_text(content, where)
        case Image.Image():
            return
        case bytes() | bytearray() | memoryview():
            _check_size(len(content), where)
        case os.PathLike():
            if not os.path.isfile(content):
                raise FileNotFoundError(f"{where}: no such file: {os.fspath(content)}")
            _check_size(os.path.getsize(content), where)
        case np.ndarray():
            _check_pixels(content, where)
        case _:
            raise TypeError(
                f"{where}: expected text (str) or a picture (path, bytes, PIL image or uint8 "
                f"array), got {type(content).__name__}"
            )


def check_text(text: object, where: str) -> None:
    """Refuse what is no text."""
    if not isinstance(text, str):
        raise TypeError(f"{where}: expected text (str), got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: not text: {error.reason} at {error.start}") from None


def to_message(content: object, where: str) -> media_pb2.Content:
    """Build the message; reads the file of a path. Raises as `check` does, and `OSError`."""
    check(content, where)
    match content:
        case str():
            return media_pb2.Content(text=content)
        case os.PathLike():
            with open(content, "rb") as file:
                return _encoded(file.read())
        case Image.Image():
            return _opened(content, where)
        case np.ndarray():
            return _pixels(content, where)
        case bytes() | bytearray() | memoryview():
            return _encoded(bytes(content))
        case _:
            raise AssertionError("check lets nothing else pass")


def check_picture(picture: object, where: str) -> None:
    """As `check`, and refuse text."""
    if isinstance(picture, str):
        raise TypeError(f"{where}: expected a picture, got text; a file is named by a pathlib.Path")
    check(picture, where)


def to_image(picture: object, where: str) -> media_pb2.Image:
    """Build the message of a picture. Raises as `to_message` does."""
    check_picture(picture, where)
    return to_message(picture, where).image


def _check_size(size: int, where: str) -> None:
    if size > MAX_ENCODED_BYTES:
        raise ValueError(f"{where}: a picture file has at most 20 MiB, this one has {size:,} bytes")


def _check_pixels(array: npt.NDArray[np.uint8], where: str) -> None:
    if array.dtype != np.uint8:
        raise TypeError(f"{where}: pixels are uint8, not {array.dtype}")
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(f"{where}: pixels are [H, W, 3], not {list(array.shape)}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ValueError(f"{where}: a picture has at most 64 megapixels, not {list(array.shape)}")


def _encoded(data: bytes) -> media_pb2.Content:
    return media_pb2.Content(image=media_pb2.Image(encoded=data))


def _opened(image: Image.Image, where: str) -> media_pb2.Content:
    if isinstance(image, ImageFile.ImageFile):
        image = ImageOps.exif_transpose(image)
    if image.mode in _PNG_MODES:
        return _encoded(_file(image, where, "PNG", compress_level=1))
    if image.mode == "F":
        raise ValueError(f"{where}: a picture of mode F has no range; convert it to RGB first")
    return _pixels(np.asarray(image.convert("RGB")), where)


def _pixels(array: npt.NDArray[np.uint8], where: str) -> media_pb2.Content:
    _check_pixels(array, where)
    if array.nbytes > MAX_RAW_BYTES:
        image = Image.fromarray(array)
        return _encoded(_file(image, where, "JPEG", quality=JPEG_QUALITY, subsampling=0))
    height, width, _ = array.shape
    raw = media_pb2.RawImage(height=height, width=width, data=array.tobytes())
    return media_pb2.Content(image=media_pb2.Image(raw=raw))


def _file(image: Image.Image, where: str, file_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    _check_size(buffer.tell(), where)
    return buffer.getvalue()
