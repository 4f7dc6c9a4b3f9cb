"""Where a checkpoint lies: a directory, or the Hugging Face hub at one commit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from triptych_export.errors import CheckpointError
from triptych_export.quiet import quiet

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
class Source:
    """The files of one checkpoint; what cannot be read is a `CheckpointError` that names the file.

    `where` is what transformers reads, `name` the last part of it, and `label` names checkpoint and
    revision (never a path of this machine).
    """

    where: str
    name: str
    label: str
    revision: str | None

    @classmethod
    def find(cls, checkpoint: str | Path, revision: str | None = None) -> Self:
        """A local directory, or a hub id at `revision` (a branch, tag or commit)."""
        directory = Path(checkpoint)
        if directory.is_dir():
            name = directory.resolve().name
            return cls(str(directory), name, name, None)
        if directory.exists():
            raise CheckpointError(f"{checkpoint}: a file; a checkpoint is a directory")
        if directory.is_absolute() or len(directory.parts) > 2:
            raise CheckpointError(f"{checkpoint}: no such directory")
        commit = _commit(str(checkpoint), revision)
        return cls(str(checkpoint), directory.name, f"{checkpoint}@{commit}", commit)

    def config(self) -> Any:
        """The network's configuration."""
        return self._read(("config.json",), AutoConfig)

    def processor(self) -> Any:
        """The image processor, running on Pillow."""
        files = ("preprocessor_config.json", "processor_config.json")
        return self._read(files, AutoImageProcessor, backend="pil")

    def model(self, reader: Any) -> Any:
        """The network in fp32, as `reader` (a class of transformers) builds it."""
        try:
            # Eager attention gives the plainest graph; parity is measured against the same weights.
            # Transformers would fill in random numbers and only warn: what it misses is told below.
            with quiet():
                model, loading = reader.from_pretrained(
                    self.where,
                    revision=self.revision,
                    dtype=torch.float32,
                    attn_implementation="eager",
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{self.where}: the weights cannot be read: {_first_line(error)}"
            ) from error
        absent = sorted(loading["missing_keys"])
        if absent:
            raise CheckpointError(
                f"{self.where}: {len(absent)} weights are missing, the first {absent[0]}"
            )
        others = sorted(loading["mismatched_keys"])
        if others:
            name, stored, expected = others[0]
            raise CheckpointError(
                f"{self.where}: {len(others)} weights are of another shape than config.json says, "
                f"the first {name}: {list(stored)}, not {list(expected)}"
            )
        return model.eval().requires_grad_(False)

    def tokenizer(self) -> Any:
        """The tokenizer, always one of the Rust library's."""
        local = Path(self.where)
        files = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")
        if local.is_dir() and not any((local / file).is_file() for file in files):
            raise CheckpointError(f"{self.where}: no tokenizer.json in it")
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.where, revision=self.revision)
        except ImportError:
            # The checkpoint names a class on sentencepiece; its tokenizer.json says the same.
            tokenizer = self._read(("tokenizer.json",), PreTrainedTokenizerFast)
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{self.where}: the tokenizer cannot be read: {_first_line(error)}"
            ) from error
        if not tokenizer.is_fast:
            tokenizer = self._read(("tokenizer.json",), PreTrainedTokenizerFast)
        return tokenizer

    def _read(self, files: tuple[str, ...], reader: Any, **options: Any) -> Any:
        """What `reader` makes of the first of `files` that is there."""
        local = Path(self.where)
        if local.is_dir() and not any((local / file).is_file() for file in files):
            raise CheckpointError(f"{self.where}: no {files[0]} in it")
        try:
            return reader.from_pretrained(self.where, revision=self.revision, **options)
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{self.where}: {files[0]} cannot be read: {_first_line(error)}"
            ) from error


def _commit(repository: str, revision: str | None) -> str:
    """The commit that `revision` of a hub id means now; all files are then read at it."""
    try:
        # The hub's cache keeps each file under snapshots/<commit>/.
        return Path(hf_hub_download(repository, "config.json", revision=revision)).parent.name
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{repository}: no such directory, and not on the hub: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no {error}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
