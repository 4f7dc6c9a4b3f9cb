"""What an export wrote and how close it is to its checkpoint."""

from dataclasses import asdict, dataclass
from typing import Any

from triptych_export.parity import FLOORS, Parity, Precision


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """One folder of the model repository; `scheme` is the way to its precision that was taken."""

    folder: str
    scheme: str
    dimension: int
    file_bytes: int
    parity: Parity


@dataclass(frozen=True, slots=True)
class ExportReport:
    """One checkpoint in the model repository under the name `model`."""

    model: str
    family: str
    source: str
    space: str
    precision: Precision
    seconds: float
    encoders: tuple[EncoderReport, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures and the floors that they passed, as JSON's types."""
        return {**asdict(self), "floor": asdict(FLOORS[self.precision])}

    def __str__(self) -> str:
        floor = FLOORS[self.precision]
        lines = [
            f"{self.model}: {self.family} {self.precision} from {self.source} "
            f"in {self.seconds:.0f} s",
            f"space {self.space}",
        ]
        for encoder in self.encoders:
            parity = encoder.parity
            lines += [
                f"{encoder.folder}: {encoder.scheme}, {encoder.dimension} dimensions, "
                f"{encoder.file_bytes / 1e6:.1f} MB; against torch on {parity.samples} samples "
                "at batch 1, 3 and 8:",
                f"  cosine {parity.cosine:.6f} (floor {floor.cosine}), "
                f"centred {parity.centred_cosine:.6f} (floor {floor.centred_cosine})",
                f"  max abs difference {parity.max_abs_difference:.1e} "
                f"(limit {floor.difference:.0e})",
                f"  a row in a batch moves by {parity.company:.1e}, beside adversarial rows by "
                f"{parity.adversarial_company:.1e} (limit {floor.company:.0e})",
            ]
        return "\n".join(lines)
