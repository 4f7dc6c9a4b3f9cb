"""The text tower: its graph, its truth, its parameters and its tokenizer."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from triptych_export.checkpoint import Checkpoint
from triptych_export.errors import ParityError
from triptych_export.parity import Inputs, Samples, unit
from triptych_export.preprocessing import TextSteps
from triptych_export.samples import TEXTS
from triptych_server.engines.encoders.spec import ATTENTION_MASK, INPUT_IDS, Role

TOKENIZER_FILE = "tokenizer.json"
_ROWS = 8
_MATES = 7


class TextTower(nn.Module):
    """`input_ids` and `attention_mask` `[N, L]` int64 to `features` `[N, D]` fp32 of length 1."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self._family = checkpoint.model, checkpoint.family

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self._family.text_features(self.model, input_ids, attention_mask)
        return nn.functional.normalize(features)


class TextEncoder:
    """The text tower of `checkpoint`, whose texts go through `steps`.

    Raises `ParityError` when the tokenizer to ship does not give the checkpoint's own ids.
    """

    role: ClassVar = Role.TEXT
    axes: ClassVar[Mapping[int, str]] = {0: "batch", 1: "sequence"}

    def __init__(self, checkpoint: Checkpoint, steps: TextSteps) -> None:
        self._checkpoint, self._steps = checkpoint, steps
        self._tokenizer = steps.tokenizer()
        self._check_tokenizer()

    def tower(self) -> nn.Module:
        """The network from token ids to features."""
        return TextTower(self._checkpoint)

    def example(self) -> dict[str, torch.Tensor]:
        """Two rows of six tokens."""
        ids = torch.ones((2, 6), dtype=torch.int64)
        return {INPUT_IDS: ids, ATTENTION_MASK: torch.ones_like(ids)}

    def samples(self) -> list[Samples]:
        """At each length the texts that it is the next for, and ragged rows of random ids."""
        groups = []
        real = self._encode(TEXTS)
        for length in self._steps.lengths:
            inputs = self._random(length)
            if length in real:
                inputs = {
                    name: np.concatenate([real[length][name], inputs[name]]) for name in inputs
                }
            groups.append(
                Samples(
                    f"texts of {length} tokens",
                    inputs,
                    self._reference(inputs),
                    self._adversarial(length),
                )
            )
        return groups

    def calibration(self) -> Iterator[Inputs]:
        """Texts at their lengths, and random ids at every length."""
        yield from self._encode(TEXTS).values()
        for length in self._steps.lengths:
            yield self._random(length)

    def parameters(self) -> dict[str, str]:
        """How texts become token ids."""
        steps = self._steps
        buckets = ",".join(str(length) for length in steps.lengths)
        return {
            "context_length": str(steps.context_length),
            "pad_id": str(steps.pad_id),
            "padding": "max_length" if steps.fixed else f"bucket:{buckets}",
            "tokenizer": TOKENIZER_FILE,
            "tokenizer_sha256": hashlib.sha256(steps.tokenizer_json.encode()).hexdigest(),
        }

    def files(self) -> Mapping[str, bytes]:
        """The tokenizer."""
        return {TOKENIZER_FILE: self._steps.tokenizer_json.encode()}

    def _check_tokenizer(self) -> None:
        limit = self._steps.context_length
        for text in TEXTS:
            own = self._checkpoint.tokenizer(text, truncation=True, max_length=limit)["input_ids"]
            if self._tokenizer.encode(text).ids != own:
                raise ParityError(
                    f"the tokenizer to ship differs from the checkpoint's on {text!r}"
                )

    def _encode(self, texts: Sequence[str]) -> dict[int, Inputs]:
        """Tokenise and fill as a gateway does: inputs by their length."""
        rows: dict[int, list[list[int]]] = {}
        for text in texts:
            ids = self._tokenizer.encode(text).ids
            length = next(n for n in self._steps.lengths if n >= len(ids))
            rows.setdefault(length, []).append(ids)
        return {length: self._filled(group, length) for length, group in rows.items()}

    def _random(self, length: int) -> Inputs:
        """Ragged rows of random ids between the tokenizer's own special tokens."""
        rng = np.random.default_rng(length)
        *first, last = self._tokenizer.encode("").ids
        rows = []
        for _ in range(_ROWS):
            room = int(rng.integers(1, max(2, length - len(first))))
            ids = rng.integers(0, self._tokenizer.get_vocab_size(), room)
            rows.append([*first, *(int(i) for i in ids), last][:length])
        return self._filled(rows, length)

    def _adversarial(self, length: int) -> Inputs:
        """Full rows that repeat the tokens with the longest embeddings."""
        table: torch.Tensor = self._checkpoint.model.text_model.get_input_embeddings().weight
        loudest = table.norm(dim=1).topk(_MATES).indices.tolist()
        return self._filled([[token] * length for token in loudest], length)

    def _filled(self, rows: Sequence[Sequence[int]], length: int) -> Inputs:
        ids = np.full((len(rows), length), self._steps.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return {INPUT_IDS: ids, ATTENTION_MASK: mask}

    def _reference(self, inputs: Inputs) -> np.ndarray[Any, np.dtype[np.float32]]:
        ids, mask = (torch.from_numpy(inputs[name]) for name in (INPUT_IDS, ATTENTION_MASK))
        with torch.inference_mode():
            return unit(self._checkpoint.family.text_features(self._checkpoint.model, ids, mask))
