"""Encoders that take texts alone: their graph and their truth."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from triptych_export.checkpoint import Checkpoint
from triptych_export.parity import Inputs, Output, Samples
from triptych_export.text_samples import TextSamples
from triptych_server.engines.encoders.spec import ATTENTION_MASK, INPUT_IDS, Role


class TextFeatures(nn.Module):
    """`input_ids` and `attention_mask` `[N, L]` int64 to `features` `[N, D]` fp32 of length 1."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self._family = checkpoint.model, checkpoint.family

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self._family.text_features(self.model, input_ids, attention_mask)
        return nn.functional.normalize(features)


class TextEncoder:
    """`network`, which takes token ids and their mask, in the given role; measured on `texts`."""

    def __init__(self, texts: TextSamples, network: nn.Module, role: Role = Role.TEXT) -> None:
        axes = {0: "batch", 1: "sequence"}
        self.role, self.axes = role, {INPUT_IDS: axes, ATTENTION_MASK: axes}
        self._texts, self._network = texts, network

    @property
    def lengths(self) -> Sequence[int]:
        """The lengths to which texts are filled."""
        return self._texts.lengths()

    def tower(self) -> nn.Module:
        """The network as it is."""
        return self._network

    def example(self) -> dict[str, torch.Tensor]:
        """Two rows of six tokens."""
        ids = torch.ones((2, 6), dtype=torch.int64)
        return {INPUT_IDS: ids, ATTENTION_MASK: torch.ones_like(ids)}

    def samples(self) -> list[Samples]:
        """Texts and random ids at every length."""
        return [
            Samples(
                f"texts of {group.length} tokens",
                group.rows,
                self._reference(group.rows),
                group.mates,
            )
            for group in self._texts.groups()
        ]

    def calibration(self) -> Iterator[Inputs]:
        """Texts at their lengths, and random ids at every length."""
        yield from self._texts.texts().values()
        for length in self._texts.lengths():
            yield self._texts.random(length)

    def parameters(self) -> dict[str, str]:
        """How texts become token ids."""
        return self._texts.parameters()

    def files(self) -> Mapping[str, bytes]:
        """The tokenizer."""
        return self._texts.files()

    def _reference(self, rows: Inputs) -> Output:
        ids, mask = (torch.from_numpy(rows[name]) for name in (INPUT_IDS, ATTENTION_MASK))
        with torch.inference_mode():
            output: Output = self._network(ids, mask).numpy()
        return output
