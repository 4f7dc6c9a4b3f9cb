"""The encoder that compares pictures with texts: its graph, its truth and its parameters."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from triptych_export.image_encoder import ImageEncoder
from triptych_export.parity import Inputs, Output, Samples
from triptych_export.patch_encoder import loudest
from triptych_export.text_samples import TextSamples
from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    IMAGE_INDEX,
    INPUT_IDS,
    PATCHES,
    Role,
)


class MatchingEncoder:
    """`network`, which takes what the encoder `vision` gives, and `texts`.

    Rows are texts; each names its picture, and pictures are shared. Samples differ in the number of
    both and in the order in which texts name pictures.
    """

    role = Role.ITM
    axes: Mapping[str, Mapping[int, str]] = {
        PATCHES: {0: "pictures"},
        INPUT_IDS: {0: "texts", 1: "sequence"},
        ATTENTION_MASK: {0: "texts", 1: "sequence"},
        IMAGE_INDEX: {0: "texts"},
    }

    def __init__(
        self, vision: ImageEncoder, texts: TextSamples, network: nn.Module, more: Mapping[str, str]
    ) -> None:
        self._vision, self._texts, self._network, self._more = vision, texts, network, more

    @property
    def lengths(self) -> Sequence[int]:
        """The lengths to which texts are filled."""
        return self._texts.lengths()

    def tower(self) -> nn.Module:
        """The network as it is."""
        return self._network

    def example(self) -> dict[str, torch.Tensor]:
        """Two pictures and three texts of six tokens."""
        patches = self._vision.samples()[0].reference[:2]
        ids = torch.ones((3, 6), dtype=torch.int64)
        return {
            PATCHES: torch.from_numpy(patches),
            INPUT_IDS: ids,
            ATTENTION_MASK: torch.ones_like(ids),
            IMAGE_INDEX: torch.tensor([0, 1, 0]),
        }

    def samples(self) -> list[Samples]:
        """Texts and random ids at every length, with one to eight pictures, some named twice."""
        pictures = self._vision.samples()[0].reference
        groups = []
        for number, group in enumerate(self._texts.groups()):
            shown = pictures[: len(pictures) >> number % 4]
            # Rows name the pictures in front, mates the loud ones behind.
            loud = loudest(pictures)
            patches = np.concatenate([shown, loud])
            rows = self._with_index(group.rows, len(shown), seed=number)
            index = np.arange(len(group.mates[INPUT_IDS])) % len(loud) + len(shown)
            mates = {**group.mates, IMAGE_INDEX: index}
            groups.append(
                Samples(
                    f"texts of {group.length} tokens, {len(shown)} pictures",
                    rows,
                    self._reference(patches, rows),
                    mates,
                    {PATCHES: patches},
                )
            )
        return groups

    def calibration(self) -> Iterator[Inputs]:
        """Texts at their lengths with the pictures that parity is measured on."""
        patches = self._vision.samples()[0].reference
        for rows in self._texts.texts().values():
            yield {PATCHES: patches, **self._with_index(rows, len(patches), seed=0)}

    def parameters(self) -> dict[str, str]:
        """How texts become token ids, and whose patches it takes."""
        return {**self._texts.parameters(), **self._more}

    def files(self) -> Mapping[str, bytes]:
        """The tokenizer."""
        return self._texts.files()

    def _with_index(self, rows: Inputs, pictures: int, seed: int) -> Inputs:
        index: npt.NDArray[np.int64] = np.random.default_rng(seed).integers(
            0, pictures, len(rows[INPUT_IDS])
        )
        return {**rows, IMAGE_INDEX: index}

    def _reference(self, patches: Output, rows: Inputs) -> Output:
        inputs = {name: torch.from_numpy(array) for name, array in rows.items()}
        with torch.inference_mode():
            output: Output = self._network(patches=torch.from_numpy(patches), **inputs).numpy()
        return output
