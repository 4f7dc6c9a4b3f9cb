"""A checkpoint with all that an export needs of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModel

from triptych_export.errors import CheckpointError
from triptych_export.families import FAMILIES, Family
from triptych_export.preprocessing import ImageSteps, TextSteps, image_steps, text_steps
from triptych_export.source import Source
from triptych_server.engines.encoders.spec import Scoring


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in fp32 with its own preprocessing, ready to be exported.

    `source` names it and its revision (never a path of this machine). `tokenizer` and `text` are
    None for networks whose encoders take pictures alone.
    """

    name: str
    source: str
    family: Family
    model: Any
    processor: Any
    tokenizer: Any
    image: ImageSteps
    text: TextSteps | None

    @property
    def scoring(self) -> Scoring | None:
        """How a cosine becomes a logit; None for networks that compare no pairs."""
        if self.family.score is None:
            return None
        bias = getattr(self.model, "logit_bias", 0.0)
        return Scoring(self.family.score, float(self.model.logit_scale.exp()), float(bias))


def load_checkpoint(checkpoint: str | Path, revision: str | None = None) -> Checkpoint:
    """Read a local directory, or a hub id at `revision` (a branch, tag or commit).

    Raises `CheckpointError`, which says what is missing or of an unknown kind.
    """
    source = Source.find(checkpoint, revision)
    config = source.config()
    family = FAMILIES.get(config.model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise CheckpointError(
            f"{checkpoint}: architecture {config.model_type!r} cannot be exported as CLIP is; "
            f"known: {known}"
        )
    model = source.model(AutoModel)
    processor = source.processor()
    image = image_steps(processor, source.where)
    tokenizer = text = None
    if family.text is not None:
        check_image_size(config, image, source.where)
        tokenizer = source.tokenizer()
        positions = config.text_config.max_position_embeddings
        text = text_steps(tokenizer, positions, family.text, source.where)
        check_vocabulary(text, config.text_config.vocab_size, source.where)
    return Checkpoint(source.name, source.label, family, model, processor, tokenizer, image, text)


def check_image_size(config: Any, image: ImageSteps, where: str) -> None:
    """Raise `CheckpointError` unless the image processor gives what the network takes."""
    side = config.vision_config.image_size
    if (image.height, image.width) != (side, side):
        raise CheckpointError(
            f"{where}: the image processor gives {image.height}x{image.width}, "
            f"the network takes {side}x{side}"
        )


def check_vocabulary(text: TextSteps, rows: int, where: str) -> None:
    """Raise `CheckpointError` for a tokenizer with ids beyond the embedding table's `rows`."""
    if max(text.tokenizer().get_vocab().values()) >= rows:
        raise CheckpointError(f"{where}: the tokenizer has ids beyond the network's {rows}")
