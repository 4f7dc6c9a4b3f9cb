"""What encoders are called with, by role."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from baseline import TEXT
from tritonclient.grpc import InferInput
from tritonclient.utils import np_to_triton_dtype

from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    IMAGE_INDEX,
    INPUT_IDS,
    PATCHES,
    PIXELS,
    SIGNATURES,
    EncoderSpec,
)
from triptych_server.media.text import TextTokenizer

Tensors = Mapping[str, npt.NDArray[Any]]


def one_row(repository: Path, spec: EncoderSpec) -> Tensors:
    """One row of each input: noise, the tokens of `TEXT`, and the index of the only picture."""
    rng = np.random.default_rng(0)
    tensors: dict[str, npt.NDArray[Any]] = {}
    if spec.image is not None:
        shape = (1, spec.image.height, spec.image.width, 3)
        tensors[PIXELS] = rng.integers(0, 256, shape, np.uint8)
    if spec.patches is not None:
        tensors[PATCHES] = rng.standard_normal((1, *spec.patches), np.float32)
    if spec.text is not None:
        tokens = TextTokenizer.read(repository, spec.name, spec.text).encode(TEXT)
        tensors |= {INPUT_IDS: tokens.input_ids, ATTENTION_MASK: tokens.attention_mask}
        tensors[IMAGE_INDEX] = np.zeros(1, np.int64)
    return {name: tensors[name] for name in sorted(SIGNATURES[spec.role].inputs)}


def triton_inputs(tensors: Tensors) -> list[InferInput]:
    """The same as tritonclient takes them."""
    return [
        InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)
        for name, array in tensors.items()
    ]
