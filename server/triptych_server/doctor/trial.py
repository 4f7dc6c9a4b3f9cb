"""Models computing once: what is loaded and answers may still not compute, or give no numbers."""

import math
from contextlib import aclosing
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych_server.engines.encoders import EncoderEngine, EncoderSpec
from triptych_server.engines.encoders.protocol import Tensors
from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    IMAGE_INDEX,
    INPUT_IDS,
    PATCHES,
    PIXELS,
    SIGNATURES,
)
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Generator,
    Message,
    Prompt,
    Sampling,
    SoftPrefix,
    Speaker,
)
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import Internal
from triptych_server.media.content import Text


async def try_encoder(engine: EncoderEngine, spec: EncoderSpec) -> None:
    """Encode one picture or text, or what else it takes. Raises as `EncoderEngine.infer`, and
    `Internal` for an output that is not finite."""
    inference = await engine.infer(spec.name, _inputs(spec))
    if not np.isfinite(inference.outputs[SIGNATURES[spec.role].output]).all():
        raise Internal(
            f"{spec.name}: gives NaN or infinity in {spec.precision}", reason="NOT_FINITE"
        )


async def try_generator(generator: Generator) -> None:
    """Write one token; raises as `Generator.generate`."""
    prompt = _prompt(await generator.spec())
    async with aclosing(generator.generate(prompt, Sampling(max_tokens=1))) as deltas:
        async for _ in deltas:
            pass


def _prompt(spec: GeneratorSpec) -> Prompt:
    """Of the kind that the model takes, with a soft prefix if it takes one."""
    text = Text("a")
    if spec.instructions is not None:
        return ChatPrompt([Message(Speaker.USER, [text])])
    if not spec.space:
        return [text]
    prefix = np.full((spec.prefix_tokens, spec.hidden_size), 0.01, np.float32)
    return [SoftPrefix(prefix), text]


def _inputs(spec: EncoderSpec) -> Tensors:
    """One row of what the encoder takes, with numbers of all sizes."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    if spec.image is not None:
        shape = (1, spec.image.height, spec.image.width, 3)
        tensors[PIXELS] = (np.arange(math.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    if spec.patches is not None:
        size = math.prod(spec.patches)
        tensors[PATCHES] = np.linspace(-1, 1, size, dtype=np.float32).reshape(1, *spec.patches)
        tensors[IMAGE_INDEX] = np.zeros(1, np.int64)
    if spec.text is not None:
        lengths = (1, spec.text.lengths[0])
        tensors[INPUT_IDS] = np.full(lengths, spec.text.pad_id, np.int64)
        tensors[ATTENTION_MASK] = np.ones(lengths, np.int64)
    return {name: tensors[name] for name in SIGNATURES[spec.role].inputs}
