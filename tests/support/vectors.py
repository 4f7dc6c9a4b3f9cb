"""Unit vectors, and items made of them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections import Item

Vectors = npt.NDArray[np.float32]


def unit(vectors: npt.ArrayLike) -> Vectors:
    """Rows made unit length."""
    rows = np.asarray(vectors, np.float32)
    scaled: Vectors = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


def random_vectors(count: int, dimension: int, seed: int = 0) -> Vectors:
    """`[count, dimension]`, spread evenly."""
    return unit(np.random.default_rng(seed).standard_normal((count, dimension)))


def clustered_vectors(count: int, dimension: int, seed: int = 0) -> Vectors:
    """`[count, dimension]` in clusters of about a hundred, as embeddings of pictures lie."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((max(1, count // 100), dimension)))
    noise = rng.standard_normal((count, dimension)) * (0.5 / np.sqrt(dimension))
    return unit(centres[rng.integers(len(centres), size=count)] + noise)


def items(vectors: Vectors, prefix: str = "", start: int = 0) -> Sequence[Item]:
    """Items `{prefix}{start}`, ... with their number as metadata."""
    return [
        Item(f"{prefix}{number}", vector, {"number": number, "even": number % 2 == 0})
        for number, vector in enumerate(vectors, start)
    ]
