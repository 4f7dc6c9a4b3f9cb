"""Tensors in the files of `torch.save`, written without torch."""

import io
import pickle
import struct
import zipfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Fixed, so that equal tensors are equal files.
_DATE = (1980, 1, 1, 0, 0, 0)
_PROTOCOL = 2
_VERSION = b"3\n"


def torch_file(array: npt.NDArray[np.float32]) -> bytes:
    """The file that `torch.load(..., weights_only=True)` reads as `array`, float32 of any shape."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            ("data.pkl", _description(array.shape)),
            ("byteorder", b"little"),
            ("data/0", np.ascontiguousarray(array, "<f4").data),
            ("version", _VERSION),
        ):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _DATE), content)
    return buffer.getvalue()


def _description(shape: tuple[int, ...]) -> bytes:
    """The pickle that rebuilds the tensor from its storage, by the opcodes that torch writes.

    It calls `torch._utils._rebuild_tensor_v2(storage, offset, shape, stride, requires_grad,
    hooks)`; the storage is a persistent id that names its type, file, device and length.
    """
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    storage = b"".join(
        [
            pickle.MARK,
            _text("storage"),
            _name("torch", "FloatStorage"),
            _text("0"),
            _text("cpu"),
            _number(int(np.prod(shape, dtype=np.int64))),
            pickle.TUPLE,
            pickle.BINPERSID,
        ]
    )
    return b"".join(
        [
            pickle.PROTO,
            bytes([_PROTOCOL]),
            _name("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK,
            storage,
            _number(0),
            _tuple(shape),
            _tuple(strides),
            pickle.NEWFALSE,
            _name("collections", "OrderedDict"),
            pickle.EMPTY_TUPLE,
            pickle.REDUCE,
            pickle.TUPLE,
            pickle.REDUCE,
            pickle.STOP,
        ]
    )


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(text)) + text.encode()


def _number(number: int) -> bytes:
    return pickle.BININT + struct.pack("<i", number)


def _tuple(numbers: Sequence[int]) -> bytes:
    return pickle.MARK + b"".join(map(_number, numbers)) + pickle.TUPLE
