"""Vectors on the wire: little-endian float32 with their dimension."""

import numpy as np
import numpy.typing as npt

from triptych.v1 import media_pb2

FloatVector = npt.NDArray[np.float32]


def to_message(value: npt.ArrayLike, where: str) -> media_pb2.Vector:
    """Pack `[D]` real numbers as float32; `TypeError` and `ValueError` name `where`."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{where}: a vector holds real numbers, not {array.dtype}")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{where}: a vector has one axis, not the shape {list(array.shape)}")
    return media_pb2.Vector(data=array.astype("<f4").tobytes(), dimension=array.size)


def from_message(vector: media_pb2.Vector) -> FloatVector:
    """Unpack a vector as `[D]` float32, read-only."""
    array = np.frombuffer(vector.data, dtype="<f4")
    if array.size != vector.dimension:
        raise ValueError(f"a vector of dimension {vector.dimension} came as {array.size} numbers")
    return array.astype(np.float32, copy=False)
