"""Pictures as models that see by themselves are sent them."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych_server.engines.generators.protocol import Picture
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import EncodedImage, RawImage
from triptych_server.media.picture import to_picture

SIDE = 48
RED, BLUE = (220, 30, 30), (20, 40, 210)
ORIENTATION, TURNED_RIGHT = 0x0112, 8


def file(image: Image.Image, kind: str = "PNG", **options: object) -> EncodedImage:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return EncodedImage(buffer.getvalue())


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def pixels(picture: Picture) -> np.ndarray:
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.get_format_mimetype() == picture.media_type
        return np.asarray(image)


def assert_halves(shown: np.ndarray, tolerance: int = 0) -> None:
    """Red on the left and blue on the right, apart from where they meet."""
    width = shown.shape[1]
    left, right = shown[:, : width // 2 - 4], shown[:, width // 2 + 4 :]
    for half, colour in ((left, RED), (right, BLUE)):
        assert half.size
        assert np.abs(half.reshape(-1, 3).astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_good_file_stays_as_it_is(kind: str, media_type: str, mode: str) -> None:
    source = file(halves().convert(mode), kind)
    picture = to_picture(source, SIDE)
    assert (picture.data, picture.media_type) == (source.data, media_type)


def test_phones_jpeg_with_a_second_picture_stays_as_it_is() -> None:
    source = file(halves(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert Image.open(io.BytesIO(source.data)).format == "MPO"
    picture = to_picture(source, SIDE)
    assert (picture.data, picture.media_type) == (source.data, "image/jpeg")


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "GIF"])
def test_other_formats_become_png_without_loss(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = to_picture(file(halves(), kind, **options), SIDE)
    assert picture.media_type == "image/png"
    assert np.array_equal(pixels(picture), np.asarray(halves()))


def test_raw_picture_becomes_png_without_loss() -> None:
    picture = to_picture(RawImage(20, 40, halves().tobytes()), SIDE)
    assert picture.media_type == "image/png"
    assert np.array_equal(pixels(picture), np.asarray(halves()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_picture_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    stored = halves().transpose(Image.Transpose.ROTATE_270)
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    picture = to_picture(file(stored, kind, exif=exif, **options), SIDE)
    assert picture.media_type == "image/png"
    assert pixels(picture).shape == (20, 40, 3)
    assert_halves(pixels(picture), tolerance=6)


def test_orientation_that_nobody_knows_is_not_passed_on() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 99
    picture = to_picture(file(halves(), exif=exif), SIDE)
    with Image.open(io.BytesIO(picture.data)) as image:
        assert dict(image.getexif()) == {}
    assert np.array_equal(pixels(picture), np.asarray(halves()))


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert pixels(to_picture(file(clear), SIDE)).min() == 255
    keyed = file(Image.new("RGB", (20, 20), (0, 0, 0)), transparency=(0, 0, 0))
    assert pixels(to_picture(keyed, SIDE)).min() == 255


def test_animation_is_its_first_frame() -> None:
    source = file(halves(), save_all=True, append_images=[Image.new("RGB", (40, 20))])
    picture = to_picture(source, SIDE)
    assert picture.data != source.data
    assert np.array_equal(pixels(picture), np.asarray(halves()))


@pytest.mark.parametrize("mode", ["P", "CMYK", "I;16"])
def test_modes_that_are_read_differently_become_rgb(mode: str) -> None:
    image = halves().convert("L").convert("I;16") if mode == "I;16" else halves().convert(mode)
    picture = to_picture(file(image, "JPEG" if mode == "CMYK" else "PNG"), SIDE)
    assert pixels(picture).shape == (20, 40, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "raw"])
def test_longest_side_is_bounded_and_the_shape_is_kept(kind: str) -> None:
    large = halves(480, 120)
    options = {"save_all": True, "append_images": [halves()]} if kind == "MPO" else {}
    raw = RawImage(120, 480, large.tobytes())
    source = raw if kind == "raw" else file(large, kind, **options)
    shown = pixels(to_picture(source, SIDE))
    assert shown.shape == (12, 48, 3)
    assert_halves(shown, tolerance=4)


def test_fine_lines_become_grey_when_they_shrink() -> None:
    lines = np.zeros((480, 480, 3), np.uint8)
    lines[:, ::2] = 255
    shown = pixels(to_picture(file(Image.fromarray(lines)), SIDE))
    assert np.abs(shown.astype(int) - 128).max() <= 8


@pytest.mark.parametrize("size", [(5_000, 1), (1, 5_000)])
def test_extreme_shape_keeps_a_pixel_at_least(size: tuple[int, int]) -> None:
    shown = pixels(to_picture(file(Image.new("RGB", size, RED)), SIDE))
    assert sorted(shown.shape[:2]) == [1, SIDE]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_file_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = file(Image.fromarray(noise), kind).data
    for side in (SIDE, 8):
        with pytest.raises(InvalidArgument) as caught:
            to_picture(EncodedImage(whole[: len(whole) // 2]), side)
        assert (caught.value.field, caught.value.reason) == ("encoded", "IMAGE_UNREADABLE")


@given(st.integers(0, 500), st.binary(min_size=1, max_size=8))
def test_damaged_pictures_are_passed_on_good_or_refused(position: int, damage: bytes) -> None:
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        data = bytearray(file(halves(), kind).data)
        data[position : position + len(damage)] = damage
        with suppress(InvalidArgument):
            pixels(to_picture(EncodedImage(bytes(data)), SIDE))
