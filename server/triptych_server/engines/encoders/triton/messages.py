"""Tensors in Triton's messages.

protobuf would copy a tensor into a message and again into its bytes, with memory that the system
has to find each time; a batch of pictures takes longer to encode than to compute. A message may be
written in parts, though, and its last field here is the tensors as they lie in memory.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from triptych_server.engines.encoders.protocol import Tensors
from triptych_server.errors import InvalidArgument

_RAW = service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"]
_LENGTH_DELIMITED = 2  # protobuf's wire type of bytes


class InferRequest:
    """A ModelInferRequest of these inputs. Raises `InvalidArgument` for what Triton has no type
    for, and for an input without rows, which it would hand to models that it does not batch."""

    def __init__(self, inputs: Tensors) -> None:
        self._message = service_pb2.ModelInferRequest()
        self._tensors: list[npt.NDArray[Any]] = []
        for name, array in inputs.items():
            if not array.size:
                raise InvalidArgument(name, "has no rows")
            datatype = np_to_triton_dtype(array.dtype)
            if datatype in (None, "BYTES"):
                raise InvalidArgument(name, f"{array.dtype} is not a type of Triton's")
            self._message.inputs.add(name=name, datatype=datatype, shape=array.shape)
            self._tensors.append(np.ascontiguousarray(array))

    def encoded(self, encoder: str, version: str) -> bytes:
        """As it is sent to one version of an encoder."""
        self._message.model_name = encoder
        self._message.model_version = version
        parts: list[bytes | memoryview] = [self._message.SerializeToString()]
        for array in self._tensors:
            parts.append(_varint(_RAW.number << 3 | _LENGTH_DELIMITED) + _varint(array.nbytes))
            parts.append(array.data.cast("B"))
        return b"".join(parts)


def outputs(response: Any) -> Mapping[str, npt.NDArray[Any]]:
    """The tensors of a ModelInferResponse, read-only."""
    return {
        output.name: np.frombuffer(raw, triton_to_np_dtype(output.datatype)).reshape(output.shape)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def _varint(number: int) -> bytes:
    """As protobuf writes whole numbers: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
