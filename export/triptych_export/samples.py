"""Pictures and texts of all kinds, drawn without files: what parity is measured on."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from triptych_export.errors import ExportError

TEXTS = (
    "a photo of a cat",
    "Two dogs are running along the beach at sunset, chasing a yellow ball.",
    "a small striped red circle to the left of a large blue star on a grey background",
    "一只小猫趴在窗台上晒太阳",
    "一个大的蓝色星形在左上,白色背景",
    "ein Fahrrad lehnt an einer Backsteinmauer",
    "Café, naïve, Ångström & co.: 3.14 %?! (don't)",
    "🐈‍⬛ on a 🛹 with a 🍕",
    "  spaces\tand\nlines  ",
    "x",
    "",
    "A crowded market street in the rain, seen from above, with red umbrellas, fruit stands, "
    "bicycles, children in yellow boots, and lanterns reflected in the puddles. " * 6,
)
_SIZES = ((320, 240), (240, 320), (224, 224), (500, 120), (97, 301), (64, 64))


def draw_pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Draw `count` RGB pictures of several sizes: gradients and shapes, some blurred or grainy."""
    rng = np.random.default_rng(seed)
    return [_picture(_SIZES[index % len(_SIZES)], rng) for index in range(count)]


def read_pictures(directory: Path, least: int, most: int) -> list[Image.Image]:
    """Read up to `most` pictures of `directory` in the order of their paths; RGB.

    Files that are no pictures are passed over. Raises `ExportError` when `least` are not found.
    """
    if not directory.is_dir():
        raise ExportError(f"{directory}: no such directory of pictures")
    pictures = list(islice(_decodable(directory), most))
    if len(pictures) < least:
        raise ExportError(f"{directory}: {len(pictures)} pictures in it, at least {least} needed")
    return pictures


def adversarial_pixels(count: int, height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Pictures that drive activations to their extremes: `[count, height, width, 3]`.

    Saturated noise, checkerboards, flat black, white and primary colours.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    pixels = np.zeros((count, height, width, 3), np.uint8)
    for index in range(count):
        kind = index % 3
        if kind == 0:
            pixels[index] = rng.integers(0, 2, (height, width, 3)) * 255
        elif kind == 1:
            square = 1 << (index // 3)
            pixels[index] = (((rows // square + columns // square) % 2) * 255)[..., None]
        else:
            pixels[index] = rng.integers(0, 2, 3) * 255
    return pixels


def _picture(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    width, height = size
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 9)):
        (x0, x1), (y0, y1) = sorted(rng.integers(0, width, 2)), sorted(rng.integers(0, height, 2))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x0), int(y0), int(x1), int(y1)), fill=colour)
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 3))))
    grain = rng.normal(0, rng.uniform(0, 20), (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


def _decodable(directory: Path) -> Iterator[Image.Image]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            try:
                with Image.open(path) as picture:
                    yield picture.convert("RGB")
            except OSError:
                continue
