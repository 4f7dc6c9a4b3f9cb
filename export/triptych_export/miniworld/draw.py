"""A scene to a picture of 64 x 64 pixels, with the layout, radii and colours jittered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from triptych_export.miniworld.world import POSITIONS, Object, Scene

Pixels = NDArray[np.uint8]
Mask = NDArray[np.float32]
Point = tuple[float, float]

SIDE = 64
COLOUR_JITTER = 8
RADII = {"small": (9.0, 9.5, 10.0), "large": (14.0, 14.5, 15.0, 15.5, 16.0)}
RGB = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (240, 215, 40),
    "purple": (140, 50, 180),
    "orange": (245, 135, 30),
    "pink": (250, 150, 195),
    "cyan": (60, 210, 220),
    "grey": (128, 128, 128),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "brown": (110, 75, 45),
    "navy": (20, 25, 80),
}
# A relation holds from 1.3 times the distance across it; what is drawn keeps clear of that limit.
_RELATION_FACTOR = 1.5
_STRIPE_PERIOD, _STRIPE_WIDTH, _STRIPE_SHADE = 5, 2, 0.34
_MARGIN = 16  # pixels around the canvas, so that a mask never leaves it
_REACH = 18  # half the side of a mask, more than the largest radius plus half a pixel
_SUPERSAMPLING = 8


def draw(scene: Scene, rng: np.random.Generator) -> Pixels:
    """The picture of a scene, ``[64, 64, 3] uint8``; scene and generator state determine it."""
    side = SIDE + 2 * _MARGIN
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = _jittered(scene.background, rng)
    radii = [float(rng.choice(RADII[thing.size])) for thing in scene.objects]
    for thing, radius, centre in zip(scene.objects, radii, place(scene, radii, rng), strict=True):
        _paint(canvas, thing, radius, centre, rng)
    inner = canvas[_MARGIN : _MARGIN + SIDE, _MARGIN : _MARGIN + SIDE]
    return (inner + 0.5).astype(np.uint8)


def draw_all(scenes: Sequence[Scene], rng: np.random.Generator) -> Pixels:
    """The pictures of several scenes: ``[N, 64, 64, 3] uint8``."""
    pictures = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    for index, scene in enumerate(scenes):
        pictures[index] = draw(scene, rng)
    return pictures


def draw_alike(scene: Scene, picture: Pixels, draws: int, rng: np.random.Generator) -> Pixels:
    """Of so many pictures of a scene the one most like ``picture``: ``[64, 64, 3] uint8``."""
    drawn = draw_all([scene] * draws, rng)
    distances = np.square(drawn.astype(np.int32) - picture).sum(axis=(1, 2, 3))
    nearest: Pixels = drawn[int(distances.argmin())]
    return nearest


def place(scene: Scene, radii: Sequence[float], rng: np.random.Generator) -> tuple[Point, ...]:
    """The centre (x, y) of each object in pixels, to half a pixel, true to position or relation."""
    if scene.position is not None:
        row, column = divmod(tuple(POSITIONS).index(scene.position), 3)
        return ((_in_third(column, radii[0], rng), _in_third(row, radii[0], rng)),)
    forward = scene.relation in ("to the left of", "above")
    near, far = (0, 1) if forward else (1, 0)
    low, high = radii[near], SIDE - radii[far]
    least = radii[near] + radii[far]
    distance = rng.uniform(min(least, high - low), high - low)
    start = _half(rng.uniform(low, high - distance))
    along = {near: start, far: _half(start + distance)}
    across = _across(radii, distance / _RELATION_FACTOR, rng)
    if scene.relation in ("to the left of", "to the right of"):
        return (along[0], across[0]), (along[1], across[1])
    return (across[0], along[0]), (across[1], along[1])


def _across(radii: Sequence[float], most: float, rng: np.random.Generator) -> Point:
    """Two coordinates across the relation's direction, at most ``most`` pixels apart."""
    first = rng.uniform(radii[0], SIDE - radii[0])
    low = max(radii[1], first - most)
    high = min(SIDE - radii[1], first + most)
    return _half(first), _half(rng.uniform(low, high))


def _in_third(index: int, radius: float, rng: np.random.Generator) -> float:
    third = SIDE / 3
    low = max(third * index + 1, radius)
    high = min(third * (index + 1) - 1, SIDE - radius)
    return _half(rng.uniform(low, high))


def _half(value: float) -> float:
    return round(2 * value) / 2


def _jittered(colour: str, rng: np.random.Generator) -> NDArray[np.float32]:
    offset = rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, size=3)
    return np.clip(np.asarray(RGB[colour]) + offset, 0, 255).astype(np.float32)


def _paint(
    canvas: NDArray[np.float32],
    thing: Object,
    radius: float,
    centre: Point,
    rng: np.random.Generator,
) -> None:
    column, row = math.floor(centre[0]), math.floor(centre[1])
    mask = _mask(thing.shape, radius, centre[0] - column, centre[1] - row)
    top, left = row + _MARGIN - _REACH, column + _MARGIN - _REACH
    region = canvas[top : top + 2 * _REACH, left : left + 2 * _REACH]
    ink = np.broadcast_to(_jittered(thing.colour, rng), region.shape)
    if thing.texture == "striped":
        rows = np.arange(2 * _REACH) + int(rng.integers(_STRIPE_PERIOD))
        dark = rows % _STRIPE_PERIOD < _STRIPE_WIDTH
        ink = ink * np.where(dark, np.float32(_STRIPE_SHADE), np.float32(1))[:, None, None]
    region += mask * (ink - region)


@cache
def _mask(shape: str, radius: float, x: float, y: float) -> Mask:
    """How much of each pixel the shape covers: ``[36, 36, 1] float32``."""
    scale = _SUPERSAMPLING
    picture = Image.new("L", (2 * _REACH * scale, 2 * _REACH * scale), 0)
    centre = ((_REACH + x) * scale, (_REACH + y) * scale)
    outline = [
        (centre[0] + radius * scale * across, centre[1] + radius * scale * down)
        for across, down in OUTLINES[shape]
    ]
    ImageDraw.Draw(picture).polygon(outline, fill=255)
    fine = np.asarray(picture, np.float32).reshape(2 * _REACH, scale, 2 * _REACH, scale)
    coverage: Mask = fine.mean(axis=(1, 3))[:, :, None] / np.float32(255)
    return coverage


def _ring(points: int, radii: Sequence[float], turn: float = -math.pi / 2) -> list[Point]:
    return [
        (
            radii[index % len(radii)] * math.cos(turn + 2 * math.pi * index / points),
            radii[index % len(radii)] * math.sin(turn + 2 * math.pi * index / points),
        )
        for index in range(points)
    ]


def _heart() -> list[Point]:
    angles = [2 * math.pi * index / 64 for index in range(64)]
    return [
        (
            math.sin(angle) ** 3,
            -(13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle)) / 17
            + math.cos(4 * angle) / 17
            - 0.12,
        )
        for angle in angles
    ]


def _cross(arm: float = 0.34) -> list[Point]:
    corner = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
    points: list[Point] = []
    for _ in range(4):
        points += corner
        corner = [(-y, x) for x, y in corner]
    return points


# Outlines around the origin, within a circle of radius 1 (a cross or a heart just touches it).
OUTLINES: dict[str, list[Point]] = {
    "circle": _ring(64, [1.0]),
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -1.0), (0.98, 0.8), (-0.98, 0.8)],
    "star": _ring(10, [1.0, 0.42]),
    "cross": _cross(),
    "heart": _heart(),
}
