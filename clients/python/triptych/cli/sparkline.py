"""A curve in one line of text."""

from bisect import bisect_right
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(points: Sequence[tuple[float, float]], width: int) -> str:
    """The values that held at `width` places, spread evenly over those of the `(place, value)`
    points, which come in order; one block where all points are at one place."""
    if not points:
        return ""
    places = [place for place, _ in points]
    values = [value for _, value in points]
    low, high = min(values), max(values)
    height = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    extent = places[-1] - places[0]
    columns = (
        [places[0] + extent * step / (width - 1) for step in range(width - 1)] if extent else []
    )
    held = [values[bisect_right(places, column) - 1] for column in columns] + [values[-1]]
    return "".join(BLOCKS[round((value - low) * height)] for value in held)
