"""Pictures to `pixels`: `[H, W, 3]` uint8 RGB of the size that an image encoder takes.

Resizing is Pillow's, antialiased, and straight to the crop: the part of the source that survives
the centre crop is the `box` of a single resize, so that an extreme aspect ratio costs nothing.
Large JPEGs are decoded at a fraction of their size, never below twice the size needed.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from triptych_server.engines.encoders.spec import ImagePreprocessing
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import EncodedImage, RawImage

MAX_PIXELS = 64_000_000  # of a decoded picture: 192 MB of RGB
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

# Pictures over MAX_PIXELS are refused here, by their header; Pillow's own warning would repeat it.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

Pixels = npt.NDArray[np.uint8]

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_pixels(image: EncodedImage | RawImage, size: ImagePreprocessing) -> Pixels:
    """The picture as `[H, W, 3]` uint8; raises `InvalidArgument` for one that cannot be decoded.

    A raw picture of the encoder's own size is returned without a copy.
    """
    if isinstance(image, EncodedImage):
        return _fit(_decode(image.data, size), size)
    return _pixels(image) if has_size(image, size) else _fit(from_raw(image), size)


def has_size(image: EncodedImage | RawImage, size: ImagePreprocessing) -> bool:
    """Whether the picture is raw and of the encoder's own size, so that nothing is left to do."""
    return (
        isinstance(image, RawImage)
        and (image.height, image.width) == (size.height, size.width)
        and _keeps_size(size)
    )


def to_png(image: RawImage) -> bytes:
    """A raw picture as a PNG file, for storing."""
    file = io.BytesIO()
    from_raw(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """A picture's file, of which only the header is decoded. What it turns out to be inside the
    block, too, is `InvalidArgument` about `encoded`."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image)
            yield image
    except InvalidArgument:
        raise
    except Image.DecompressionBombError:
        raise _too_large() from None
    except UnidentifiedImageError:  # its own message shows an address in memory
        raise InvalidArgument(
            "encoded",
            "the picture cannot be decoded: not a JPEG, PNG, WebP, BMP or GIF file",
            reason="IMAGE_UNREADABLE",
        ) from None
    except Exception as error:  # decoders raise anything on hostile bytes
        raise InvalidArgument(
            "encoded", f"the picture cannot be decoded: {error}", reason="IMAGE_UNREADABLE"
        ) from None


def upright(image: Image.Image) -> Image.Image:
    """The pixels of an opened file as 8-bit RGB, turned as its EXIF block says."""
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    return rgb.transpose(orientation) if orientation is not None else rgb


def from_raw(image: RawImage) -> Image.Image:
    """A raw picture, without a copy of its pixels."""
    return Image.fromarray(_pixels(image))


def _pixels(image: RawImage) -> Pixels:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def _decode(data: bytes, size: ImagePreprocessing) -> Image.Image:
    with opened(data) as image:
        if image.format == "JPEG":
            edge = 2 * (size.shortest_edge or max(size.height, size.width))
            image.draft(image.mode, (edge, edge))
        return upright(image)


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> InvalidArgument:
    return InvalidArgument(
        "encoded",
        f"the picture has more than {MAX_PIXELS // 1_000_000} megapixels",
        reason="IMAGE_TOO_LARGE",
    )


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken EXIF block says nothing about the pixels
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; 16-bit values keep their high byte, transparency is laid over white."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.dtype != np.uint16:
            values = np.clip(values, 0, 0xFFFF)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _keeps_size(size: ImagePreprocessing) -> bool:
    """Whether a picture of the encoder's size passes unchanged (no resize to a larger edge)."""
    return size.shortest_edge in (None, min(size.height, size.width))


def _fit(image: Image.Image, size: ImagePreprocessing) -> Pixels:
    """Resize, and cut the centre out, in one step."""
    target = (size.width, size.height)
    resample = Image.Resampling[size.resample.upper()]
    if size.shortest_edge is None:
        return np.asarray(image.resize(target, resample))
    shorter = min(image.size)
    # Sizes and offsets in whole pixels of the resized picture, as the reference processors round.
    resized = [size.shortest_edge * side // shorter for side in image.size]
    offset = [(whole - part) // 2 for whole, part in zip(resized, target, strict=True)]
    unit = [side / whole for side, whole in zip(image.size, resized, strict=True)]
    box = (
        offset[0] * unit[0],
        offset[1] * unit[1],
        (offset[0] + target[0]) * unit[0],
        (offset[1] + target[1]) * unit[1],
    )
    return np.asarray(image.resize(target, resample, box=box))
