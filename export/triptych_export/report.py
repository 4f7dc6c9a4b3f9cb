"""What an export wrote and how close it is to its checkpoint."""

from dataclasses import asdict, dataclass
from typing import Any

from triptych_export.generator import GeneratorReport
from triptych_export.parity import FLOORS, Floor, Parity, Precision


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """One folder of the model repository; `scheme` is the way to its precision that was taken.

    `shape` is that of one row of its output; `kept_fp32` are the layers that stay in fp32 where the
    others have 16 bits.
    """

    folder: str
    scheme: str
    output: str
    shape: tuple[int, ...]
    file_bytes: int
    parity: Parity
    kept_fp32: tuple[str, ...] = ()

    def lines(self, floor: Floor) -> list[str]:
        """The figures for people, beside the floor that they passed."""
        parity = self.parity
        shape = " x ".join(str(size) for size in self.shape)
        lines = [
            f"{self.folder}: {self.scheme}, {self.output} of {shape}, "
            f"{self.file_bytes / 1e6:.1f} MB; against torch on {parity.samples} samples "
            "at batch 1, 3 and 8:"
        ]
        if self.kept_fp32:
            lines.append(f"  in fp32: {', '.join(self.kept_fp32)}")
        if parity.cosine is not None:
            lines.append(
                f"  cosine {parity.cosine:.6f} (floor {floor.cosine}), "
                f"centred {parity.centred_cosine:.6f} (floor {floor.centred_cosine})"
            )
        return [
            *lines,
            f"  max abs difference {parity.max_abs_difference:.1e} (limit {floor.difference:.0e})",
            f"  a row in a batch moves by {parity.company:.1e}, beside adversarial rows by "
            f"{parity.adversarial_company:.1e} (limit {floor.company:.0e})",
        ]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """One checkpoint in the model repository under the name `model`.

    `generator` is its language model among the generators; `left_out` says what is missing and why,
    and `notes` what it takes to serve the encoders.
    """

    model: str
    family: str
    source: str
    space: str
    precision: Precision
    seconds: float
    encoders: tuple[EncoderReport, ...]
    generator: GeneratorReport | None = None
    left_out: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All figures and the floors that they passed, as JSON's types."""
        return {**asdict(self), "floor": asdict(FLOORS[self.precision])}

    def __str__(self) -> str:
        lines = [
            f"{self.model}: {self.family} {self.precision} from {self.source} "
            f"in {self.seconds:.0f} s",
            f"space {self.space}",
        ]
        for encoder in self.encoders:
            lines += encoder.lines(FLOORS[self.precision])
        if self.generator is not None:
            lines += generator_lines(self.generator)
        if self.left_out:
            lines.append(f"left out: {self.left_out}")
        lines += self.notes
        return "\n".join(lines)


def generator_lines(generator: GeneratorReport) -> list[str]:
    """The figures for people."""
    parity = generator.parity
    return [
        f"{generator.folder}: generator, {generator.family} of {generator.layers} layers x "
        f"{generator.hidden_size}, {generator.context_length} tokens, "
        f"{generator.file_bytes / 1e6:.1f} MB; against transformers' generate on "
        f"{parity.prompts} prompts at batch 1, 3 and 8:",
        f"  the same {parity.tokens} tokens, max abs difference of logits "
        f"{parity.difference:.1e}, a row in a batch moves by {parity.company:.1e} "
        "(parts of the largest logit)",
    ]
