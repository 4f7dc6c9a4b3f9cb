"""Pictures to the files that models which see by themselves are sent.

Such a model decodes a file on a server that others share. So every file is decoded here first,
within the limits of all pictures, and one is passed on only if another decoder can make nothing
else of it than this one did.
"""

import io

from PIL import ExifTags
from PIL import Image as Pillow

from triptych_server.engines.generators.protocol import Picture
from triptych_server.media.content import EncodedImage, Image
from triptych_server.media.image import from_raw, opened, upright

# A phone's JPEG with further pictures behind the first is MPO to Pillow.
_MEDIA_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png"}
_MODES = ("RGB", "L")  # those that are read alike everywhere
_UPRIGHT = 1


def to_picture(image: Image, longest_side: int) -> Picture:
    """The picture with neither side over `longest_side`.

    A JPEG or PNG file that is upright, opaque, of 8 bits and small enough stays as it is; all else
    becomes a PNG, which loses nothing. Raises `InvalidArgument` for a file that cannot be decoded.
    """
    if not isinstance(image, EncodedImage):
        return _drawn(from_raw(image), longest_side)
    with opened(image.data) as file:
        width, height = _within(file.size, longest_side)
        if (width, height) == file.size and _is_plain(file):
            file.load()
            return Picture(image.data, _MEDIA_TYPES[str(file.format)])
        file.draft(file.mode, (2 * width, 2 * height))  # of a JPEG: never below twice the size
        pixels = upright(file)
    return _drawn(pixels, longest_side)


def _is_plain(file: Pillow.Image) -> bool:
    """Whether every decoder makes the same of it."""
    known = file.format in _MEDIA_TYPES and file.mode in _MODES
    animated = file.format == "PNG" and getattr(file, "is_animated", False)
    transparent = "transparency" in file.info
    return known and not animated and not transparent and _is_upright(file)


def _is_upright(file: Pillow.Image) -> bool:
    try:
        return bool(file.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) == _UPRIGHT)
    except Exception:  # a broken EXIF block, of which others may make something
        return False


def _within(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    """`size` shrunk so that its longer side is at most this."""
    scale = min(longest_side / max(size), 1)
    width, height = (max(round(side * scale), 1) for side in size)
    return width, height


def _drawn(pixels: Pillow.Image, longest_side: int) -> Picture:
    size = _within(pixels.size, longest_side)
    if size != pixels.size:
        pixels = pixels.resize(size, Pillow.Resampling.LANCZOS)
    file = io.BytesIO()
    pixels.save(file, "PNG", compress_level=1)
    return Picture(file.getvalue(), "image/png")
