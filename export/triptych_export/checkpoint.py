"""Read a checkpoint from a directory or from the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from triptych_export.errors import CheckpointError
from triptych_export.families import FAMILIES, Family
from triptych_export.preprocessing import ImageSteps, TextSteps, image_steps, text_steps
from triptych_server.engines.encoders.spec import Scoring

# What transformers raises for files that are absent or damaged.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in fp32 with its own preprocessing, ready to be exported.

    `source` names it and its revision (never a path of this machine). `tokenizer` and `text` are
    None for networks that take pictures alone.
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
    directory = Path(checkpoint)
    if directory.is_dir():
        where, name, source = str(directory), directory.resolve().name, directory.resolve().name
        revision = None
    elif directory.is_absolute() or len(directory.parts) > 2:
        raise CheckpointError(f"{checkpoint}: no such directory")
    else:
        where, name = str(checkpoint), directory.name
        revision = _commit(where, revision)
        source = f"{where}@{revision}"
    config = _read(where, "config.json", AutoConfig, revision=revision)
    family = FAMILIES.get(config.model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise CheckpointError(
            f"{checkpoint}: architecture {config.model_type!r} cannot be exported; known: {known}"
        )
    model = _model(where, revision)
    processor = _read(
        where, "preprocessor_config.json", AutoImageProcessor, revision=revision, backend="pil"
    )
    image = image_steps(processor, where)
    _check_image_size(model, family, image, where)
    tokenizer = text = None
    if family.text is not None:
        tokenizer = _tokenizer(where, revision)
        positions = model.config.text_config.max_position_embeddings
        text = text_steps(tokenizer, positions, family.text, where)
        _check_vocabulary(model, tokenizer, where)
    return Checkpoint(name, source, family, model, processor, tokenizer, image, text)


def _commit(repository: str, revision: str | None) -> str:
    """The commit that `revision` of a hub id means now; all files are then read at it."""
    try:
        # The hub's cache keeps each file under snapshots/<commit>/.
        return Path(hf_hub_download(repository, "config.json", revision=revision)).parent.name
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{repository}: no such directory, and not on the hub: {_first_line(error)}"
        ) from error


def _read(where: str, file: str, reader: Any, **options: Any) -> Any:
    local = Path(where)
    if local.is_dir() and not (local / file).is_file():
        raise CheckpointError(f"{where}: no {file} in it")
    try:
        return reader.from_pretrained(where, **options)
    except _UNREADABLE as error:
        raise CheckpointError(f"{where}: {file} cannot be read: {_first_line(error)}") from error


def _model(where: str, revision: str | None) -> Any:
    try:
        # Eager attention gives the plainest graph; parity is measured against the same weights.
        model, loading = AutoModel.from_pretrained(
            where,
            revision=revision,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{where}: the weights cannot be read: {_first_line(error)}"
        ) from error
    # Transformers would fill in random numbers and only warn.
    absent = sorted(loading["missing_keys"])
    if absent:
        raise CheckpointError(f"{where}: {len(absent)} weights are missing, the first {absent[0]}")
    return model.eval().requires_grad_(False)


def _tokenizer(where: str, revision: str | None) -> Any:
    local = Path(where)
    files = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")
    if local.is_dir() and not any((local / file).is_file() for file in files):
        raise CheckpointError(f"{where}: no tokenizer.json in it")
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision)
    except ImportError:
        # The checkpoint names a class on sentencepiece; its tokenizer.json says the same.
        tokenizer = _read(where, "tokenizer.json", PreTrainedTokenizerFast, revision=revision)
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{where}: the tokenizer cannot be read: {_first_line(error)}"
        ) from error
    if not tokenizer.is_fast:
        tokenizer = _read(where, "tokenizer.json", PreTrainedTokenizerFast, revision=revision)
    return tokenizer


def _check_image_size(model: Any, family: Family, image: ImageSteps, where: str) -> None:
    if family.text is None:
        return  # DINOv2 interpolates its position table
    side = model.config.vision_config.image_size
    if (image.height, image.width) != (side, side):
        raise CheckpointError(
            f"{where}: the image processor gives {image.height}x{image.width}, "
            f"the network takes {side}x{side}"
        )


def _check_vocabulary(model: Any, tokenizer: Any, where: str) -> None:
    rows = model.config.text_config.vocab_size
    if max(tokenizer.get_vocab().values()) >= rows:
        raise CheckpointError(f"{where}: the tokenizer has ids beyond the network's {rows}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
