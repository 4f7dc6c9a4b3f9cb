"""How the networks of one export are stored."""

from dataclasses import dataclass
from enum import StrEnum

from triptych_export.casts import REDUCED
from triptych_export.errors import ExportError
from triptych_export.mixed import AUTO
from triptych_export.parity import Precision


class Format(StrEnum):
    """What an encoder is stored as."""

    ONNX = "onnx"
    TENSORRT = "tensorrt"


@dataclass(frozen=True, slots=True)
class Storage:
    """Precision, format, and the layers that stay in fp32 (see `write_mixed`).

    Raises `ExportError` for what does not go together.
    """

    precision: Precision = Precision.FP32
    format: Format = Format.ONNX
    keep_fp32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.keep_fp32 and self.precision not in REDUCED:
            raise ExportError(f"keep_fp32 is for fp16 and bf16, not for {self.precision}")
        if AUTO in self.keep_fp32 and len(self.keep_fp32) > 1:
            raise ExportError(f"keep_fp32 is either {AUTO!r} or names of layers")
        if self.format is Format.TENSORRT and self.precision is Precision.INT8:
            # It wants activations that are symmetric about zero.
            raise ExportError("TensorRT does not take int8 as it is stored here; use fp16 or bf16")
