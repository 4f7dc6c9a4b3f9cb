"""Encoders of models, run for the capabilities, and what they take."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server import deadline
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Inference, Role, Tensors
from triptych_server.errors import Internal, InvalidArgument, Unavailable
from triptych_server.media.content import Image
from triptych_server.media.image import Pixels, has_size, to_pixels
from triptych_server.media.text import TextTokenizer, TokenizedText

# Characters that are tokenised sooner (some 50 us) than handed to a thread.
SHORT_TEXT = 256


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What a vision encoder gives for one picture: `[1, P, W]` float32. Encoders that take patches
    of this `space` take them, whichever model they are of."""

    values: npt.NDArray[np.float32]
    space: str


class Encoding:
    """Runs the encoders of a catalog's models, and notices when one of them was exchanged. Decoding
    and tokenising run in `executor`."""

    def __init__(self, engine: EncoderEngine, catalog: ModelCatalog, executor: Executor) -> None:
        self._engine = engine
        self._catalog = catalog
        self._executor = executor

    async def pixels(self, encoder: EncoderSpec, image: Image) -> Pixels:
        """A picture as an encoder of pictures takes it: `[H, W, 3]` uint8.

        Raises `InvalidArgument` with the field inside the picture.
        """
        assert encoder.image is not None, "an encoder of pictures has image preprocessing"
        if has_size(image, encoder.image):
            return to_pixels(image, encoder.image)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, to_pixels, image, encoder.image)

    async def tokens(
        self, model: Model, role: Role, texts: Sequence[str], *, alone: bool = True
    ) -> list[TokenizedText]:
        """Texts as a model's encoder of this role takes them, cut to its context.

        `alone` says that the call asks for nothing else meanwhile: a few words are then not worth
        a thread.
        """
        tokenizer = model.tokenizers[role]
        if alone and sum(map(len, texts)) <= SHORT_TEXT:
            return _tokenize(tokenizer, texts)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _tokenize, tokenizer, texts)

    async def infer(self, model: Model, encoder: EncoderSpec, inputs: Tensors) -> Inference:
        """Run one encoder of a model. Raises `Internal` for tensors that do not fit it, and
        `Unavailable` when it answers with other weights than those that the catalog knows. Nothing
        is run for a caller who has gone."""
        deadline.check_wanted()
        try:
            inference = await self._engine.infer(encoder.name, inputs)
        except InvalidArgument as error:  # the tensors are ours, not the caller's
            raise Internal(
                f"{encoder.name} refuses what its config asks for: {error}",
                reason="ENCODER_MISMATCH",
            ) from error
        known = await self._engine.spec(encoder.name)
        if inference.version != encoder.version or known != encoder:
            await self._catalog.refresh()
            if self._catalog.get(model.name, None).space != model.space:
                raise Unavailable(
                    f"the model {model.name!r} was exchanged during the call",
                    reason="MODEL_EXCHANGED",
                    retry_after=0.0,
                )
        return inference


def _tokenize(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[TokenizedText]:
    return [tokenizer.encode(text) for text in texts]
