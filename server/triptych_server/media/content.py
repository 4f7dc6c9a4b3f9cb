"""What callers send, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture's file: JPEG, PNG, WebP, GIF or BMP."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawImage:
    """Pixels: `height x width x 3` bytes of RGB, rows from the top."""

    height: int
    width: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 text."""

    text: str


Image = EncodedImage | RawImage
Content = Text | Image
