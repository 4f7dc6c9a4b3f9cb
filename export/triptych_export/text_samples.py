"""Texts as a gateway tokenises them: samples for a network, and the parameters that say how."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from triptych_export.errors import ParityError
from triptych_export.parity import MATES, ROWS, Inputs
from triptych_export.preprocessing import TextSteps
from triptych_export.samples import TEXTS
from triptych_server.engines.encoders.spec import ATTENTION_MASK, INPUT_IDS

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class TextGroup:
    """Rows of one length: token ids and masks; `mates` drive activations to their extremes."""

    length: int
    rows: Inputs
    mates: Inputs


class TextSamples:
    """Texts through `steps`, for a network whose table of token embeddings is `[V, W]`.

    Raises `ParityError` when the tokenizer to ship does not give the ids of `tokenizer`, the
    checkpoint's own.
    """

    def __init__(self, steps: TextSteps, tokenizer: Any, table: torch.Tensor) -> None:
        self._steps, self._table = steps, table
        self._tokenizer = steps.tokenizer()
        for text in TEXTS:
            own = tokenizer(text, truncation=True, max_length=steps.context_length)["input_ids"]
            if self._tokenizer.encode(text).ids != own:
                raise ParityError(
                    f"the tokenizer to ship differs from the checkpoint's on {text!r}"
                )

    def groups(self) -> list[TextGroup]:
        """At each length the texts that it is the next for, and ragged rows of random ids."""
        groups = []
        real = self.texts()
        for length in self._steps.lengths:
            rows = self.random(length)
            if length in real:
                rows = {name: np.concatenate([real[length][name], rows[name]]) for name in rows}
            groups.append(TextGroup(length, rows, self._adversarial(length)))
        return groups

    def texts(self) -> dict[int, Inputs]:
        """The sample texts tokenised and filled, by their length."""
        rows: dict[int, list[list[int]]] = {}
        for text in TEXTS:
            ids = self._tokenizer.encode(text).ids
            length = next(n for n in self._steps.lengths if n >= len(ids))
            rows.setdefault(length, []).append(ids)
        return {length: self._filled(group, length) for length, group in rows.items()}

    def random(self, length: int) -> Inputs:
        """Ragged rows of random ids between the tokenizer's own special tokens."""
        rng = np.random.default_rng(length)
        *first, last = self._tokenizer.encode("").ids
        rows = []
        for _ in range(ROWS):
            room = int(rng.integers(1, max(2, length - len(first))))
            ids = rng.integers(0, self._tokenizer.get_vocab_size(), room)
            rows.append([*first, *(int(i) for i in ids), last][:length])
        return self._filled(rows, length)

    def lengths(self) -> Sequence[int]:
        """The lengths that inputs may have, ascending."""
        return self._steps.lengths

    def parameters(self) -> dict[str, str]:
        """How texts become token ids, as parameters of config.pbtxt."""
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

    def _adversarial(self, length: int) -> Inputs:
        """Full rows that repeat the tokens with the longest embeddings."""
        loudest = self._table.norm(dim=1).topk(MATES).indices.tolist()
        return self._filled([[token] * length for token in loudest], length)

    def _filled(self, rows: Sequence[Sequence[int]], length: int) -> Inputs:
        ids = np.full((len(rows), length), self._steps.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return {INPUT_IDS: ids, ATTENTION_MASK: mask}
