import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from triptych import contents

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def decoded(message: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(message.image.encoded)))


@given(st.text(st.characters(codec="utf-8")))
def test_every_str_is_text(text: str) -> None:
    assert contents.to_message(text, "content").text == text


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_pixels_are_sent_row_by_row(array: np.ndarray) -> None:
    raw = contents.to_message(array[::-1, ::-1], "content").image.raw
    assert (raw.height, raw.width) == array.shape[:2]
    back = np.frombuffer(raw.data, np.uint8).reshape(array.shape)
    np.testing.assert_array_equal(back, array[::-1, ::-1])


def test_a_path_is_sent_as_the_bytes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"any bytes")
    assert contents.to_message(path, "content").image.encoded == b"any bytes"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_a_picture_file(kind: Any) -> None:
    assert contents.to_message(kind(b"any bytes"), "content").image.encoded == b"any bytes"


def test_an_rgb_image_is_sent_as_pixels() -> None:
    raw = contents.to_message(Image.fromarray(PIXELS), "content").image.raw
    assert raw.data == PIXELS.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_modes_that_the_gateway_converts_are_sent_losslessly(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert("L" if mode == "I;16" else mode)
    image = image.convert("I;16") if mode == "I;16" else image
    sent = Image.open(io.BytesIO(contents.to_message(image, "content").image.encoded))
    assert sent.mode == mode
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(image))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_modes_are_sent_as_rgb(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    raw = contents.to_message(image, "content").image.raw
    assert raw.data == np.asarray(image.convert("RGB")).tobytes()


def test_an_opened_image_is_turned_as_its_file_says_and_one_made_from_it_is_not() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    opened = Image.open(file)
    turned = contents.to_message(opened, "content").image.raw
    assert turned.data == np.rot90(PIXELS, -1).tobytes()
    copied = contents.to_message(opened.copy(), "content").image.raw
    assert copied.data == PIXELS.tobytes()


def test_a_picture_too_large_for_a_message_is_sent_as_jpeg() -> None:
    large = np.zeros((2_400, 2_400, 3), np.uint8)
    large[:1_200] = (200, 40, 40)
    message = contents.to_message(large, "content")
    assert message.ByteSize() < contents.MAX_ENCODED_BYTES
    assert np.abs(decoded(message).astype(int) - large).max() < 12


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError, "pixels are uint8, not float32"),
        (np.zeros((4, 4), np.uint8), ValueError, r"\[H, W, 3\], not \[4, 4\]"),
        (np.zeros((3, 4, 4), np.uint8), ValueError, r"\[H, W, 3\], not \[3, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"\[H, W, 3\]"),
        (np.broadcast_to(np.uint8(0), (9_000, 9_000, 3)), ValueError, "64 megapixels"),
        (Image.new("F", (2, 2)), ValueError, "mode F"),
        (bytes(contents.MAX_ENCODED_BYTES + 1), ValueError, "at most 20 MiB"),
        (Path("/nowhere/a.jpg"), FileNotFoundError, "no such file: /nowhere/a.jpg"),
        (7, TypeError, "got int"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_what_cannot_be_sent_is_refused(value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^query: .*{words}"):
        contents.to_message(value, "query")
