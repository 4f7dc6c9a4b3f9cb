"""Vectors that callers give, and sums of vectors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from triptych_server.errors import InvalidArgument

# `[D]` float32.
Vector = npt.NDArray[np.float32]

LEAST_NORM = 1e-6  # of a sum of unit vectors; below, only rounding is left of it


def unit(vector: Vector, field: str, *, dimension: int, owner: str) -> Vector:
    """A finite vector at unit length; raises `InvalidArgument` if it is zero, or not of the
    dimension of its owner, e.g. `the model 'clip'`."""
    if len(vector) != dimension:
        raise InvalidArgument(
            f"{field}.dimension",
            f"{owner} has vectors of {dimension} numbers, not {len(vector)}",
            reason="DIMENSION_MISMATCH",
        )
    wide = vector.astype(np.float64)  # in which squares of float32 neither overflow nor vanish
    norm = np.linalg.norm(wide)
    if norm == 0:
        raise InvalidArgument(field, "the vector is zero and has no direction")
    return (wide / norm).astype(np.float32)


def unit_sum(vectors: Sequence[Vector], weights: Sequence[float], field: str) -> Vector:
    """The weighted sum of unit vectors at unit length; raises `InvalidArgument` if they cancel out.

    Weights are finite and not 0; only their size beside each other counts.
    """
    scaled = np.array(weights) / np.abs(weights).max()  # so that none overflows or vanishes
    total: npt.NDArray[np.float64] = scaled @ np.stack(vectors).astype(np.float64)
    norm = np.linalg.norm(total)
    if norm < LEAST_NORM:
        raise InvalidArgument(field, "the terms cancel out")
    return (total / norm).astype(np.float32)
