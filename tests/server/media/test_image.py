"""Pictures of every kind to pixels."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych_server.engines.encoders import ImagePreprocessing
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import EncodedImage, RawImage
from triptych_server.media.image import to_pixels, to_png

CROP = ImagePreprocessing(height=32, width=32, shortest_edge=32, resample="bicubic")
EXACT = ImagePreprocessing(height=32, width=48, shortest_edge=None, resample="bilinear")
RED, GREEN, BLUE = (220, 30, 30), (30, 200, 60), (20, 40, 210)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> EncodedImage:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return EncodedImage(buffer.getvalue())


def plain(
    colour: tuple[int, ...], size: tuple[int, int] = (40, 40), mode: str = "RGB"
) -> Image.Image:
    return Image.new(mode, size, colour)


def assert_colour(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 6) -> None:
    assert np.abs(pixels.reshape(-1, 3).astype(int) - colour).max() <= tolerance


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    image = plain(left, (40, 40))
    image.paste(right, (20, 0, 40, 40))
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_format_keeps_its_colours(kind: str) -> None:
    pixels = to_pixels(file(plain(RED), kind), CROP)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert_colour(pixels, RED)


def test_cmyk_jpeg_keeps_its_colours() -> None:
    cmyk = plain(RED).convert("CMYK")
    assert_colour(to_pixels(file(cmyk, "JPEG", quality=95), CROP), RED, tolerance=12)


def test_sixteen_bit_grey_png_keeps_its_high_byte() -> None:
    grey = Image.fromarray(np.full((40, 40), 0x8000, np.uint16))
    assert_colour(to_pixels(file(grey), CROP), (128, 128, 128))


def test_palette_png_keeps_its_colours() -> None:
    assert_colour(to_pixels(file(plain(GREEN).convert("P")), CROP), GREEN, tolerance=40)
    adaptive = plain(GREEN).convert("P", palette=Image.Palette.ADAPTIVE)
    assert_colour(to_pixels(file(adaptive), CROP), GREEN)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    clear = Image.new(mode, (40, 40), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    assert_colour(to_pixels(file(clear), CROP), (255, 255, 255))


def test_transparent_palette_entry_is_laid_over_white() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert_colour(to_pixels(file(image, transparency=0), CROP), (255, 255, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = halves(RED, BLUE)
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = to_pixels(file(stored, "JPEG", exif=exif, quality=95), CROP)
    assert_colour(pixels[4:-4, 4:12], RED, tolerance=12)
    assert_colour(pixels[4:-4, -12:-4], BLUE, tolerance=12)


def test_first_frame_of_an_animation_counts() -> None:
    animation = file(plain(RED), "GIF", save_all=True, append_images=[plain(BLUE), plain(GREEN)])
    assert_colour(to_pixels(animation, CROP), RED)


def test_one_pixel_fills_the_input() -> None:
    assert_colour(to_pixels(file(plain(BLUE, (1, 1))), CROP), BLUE)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_extreme_aspect_ratio_is_cropped_not_blown_up(size: tuple[int, int]) -> None:
    assert to_pixels(file(plain(RED, size)), CROP).shape == (32, 32, 3)


def test_centre_is_kept_and_sides_are_cut() -> None:
    image = plain(RED, (96, 32))
    image.paste(BLUE, (30, 0, 66, 32))
    assert_colour(to_pixels(file(image), CROP), BLUE)


def test_exact_resize_cuts_nothing() -> None:
    pixels = to_pixels(file(halves(RED, BLUE)), EXACT)
    assert pixels.shape == (32, 48, 3)
    assert_colour(pixels[:, :20], RED)
    assert_colour(pixels[:, -20:], BLUE)


def test_large_jpeg_is_close_to_a_full_decode() -> None:
    size = ImagePreprocessing(height=224, width=224, shortest_edge=224, resample="bicubic")
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    jpeg = file(Image.fromarray(noise).resize((1280, 960)), "JPEG", quality=95)
    full = Image.open(io.BytesIO(jpeg.data)).convert("RGB")
    expected = full.resize((224, 224), Image.Resampling.BICUBIC, box=(160, 0, 1120, 960))
    assert np.abs(to_pixels(jpeg, size).astype(int) - np.asarray(expected)).mean() < 1


def test_raw_picture_of_the_right_size_is_not_copied() -> None:
    data = np.random.default_rng(0).integers(0, 256, 32 * 32 * 3, np.uint8).tobytes()
    pixels = to_pixels(RawImage(32, 32, data), CROP)
    assert pixels.tobytes() == data
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))


def test_raw_and_encoded_pictures_give_the_same_pixels() -> None:
    array = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    raw = to_pixels(RawImage(50, 70, array.tobytes()), CROP)
    assert np.array_equal(raw, to_pixels(file(Image.fromarray(array)), CROP))


def test_raw_picture_is_stored_without_loss() -> None:
    array = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    png = to_png(RawImage(20, 30, array.tobytes()))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), array)


def test_truncated_jpeg_is_refused() -> None:
    whole = file(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)), "JPEG"
    )
    with pytest.raises(InvalidArgument) as caught:
        to_pixels(EncodedImage(whole.data[: len(whole.data) // 2]), CROP)
    assert caught.value.reason == "IMAGE_UNREADABLE"
    assert caught.value.field == "encoded"


def test_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    with pytest.raises(InvalidArgument) as caught:
        to_pixels(EncodedImage(bomb), CROP)
    assert caught.value.reason == "IMAGE_TOO_LARGE"


def test_other_file_formats_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="cannot be decoded"):
        to_pixels(file(plain(RED), "TIFF"), CROP)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes) -> None:
    with suppress(InvalidArgument):
        assert to_pixels(EncodedImage(data), CROP).shape == (32, 32, 3)


@given(st.integers(0, 500), st.binary(min_size=1, max_size=8))
def test_damaged_pictures_are_decoded_or_refused(position: int, damage: bytes) -> None:
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        data = bytearray(file(halves(RED, BLUE), kind).data)
        data[position : position + len(damage)] = damage
        with suppress(InvalidArgument):
            assert to_pixels(EncodedImage(bytes(data)), CROP).shape == (32, 32, 3)
