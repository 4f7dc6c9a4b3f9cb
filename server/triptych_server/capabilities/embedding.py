"""Contents to unit vectors."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.outcomes import outcome
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.encoders import Inference, Role
from triptych_server.engines.encoders.spec import ATTENTION_MASK, FEATURES, INPUT_IDS, PIXELS
from triptych_server.errors import Internal, TriptychError
from triptych_server.media.content import Content, Image, Text

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vector` is `[D]` float32 of unit length."""

    vector: Vector
    truncated: bool
    times: StageTimes


class Embedder:
    """Embeds contents with the encoders of models. At most `stream_contents` contents of streams
    are under way."""

    def __init__(self, encoding: Encoding, *, stream_contents: int) -> None:
        self._encoding = encoding
        self._stream_room = asyncio.Semaphore(max(stream_contents, 1))
        self._patience = Patience(begun=True)

    async def embed(self, model: Model, content: Content, *, alone: bool = False) -> Embedded:
        """Embed one content; raises `InvalidArgument` with the field inside the content.

        `alone` says that the call asks for nothing else.
        """
        if isinstance(content, Text):
            return await self._embed_text(model, content, alone)
        return await self._embed_image(model, content)

    async def embed_patiently(self, model: Model, content: Content) -> Embedded:
        """The same for contents of a stream, which wait for room where a call would be refused."""
        async with self._stream_room:
            return await self._patience.admitted(lambda: self.embed(model, content))

    async def embed_all(
        self, model: Model, contents: Iterable[Content | TriptychError]
    ) -> list[Embedded | TriptychError]:
        """Embed contents side by side. What is wrong with one of them is returned in its place;
        what is wrong with the engine is raised, and the rest is given up.

        An error in `contents` stands for an input that was already refused and is passed on.
        """
        every = list(contents)
        alone = len(every) == 1
        return await run_all(self._embed_or_error(model, content, alone) for content in every)

    async def _embed_or_error(
        self, model: Model, content: Content | TriptychError, alone: bool
    ) -> Embedded | TriptychError:
        if isinstance(content, TriptychError):
            return content
        return await outcome(self.embed(model, content, alone=alone))

    async def _embed_image(self, model: Model, image: Image) -> Embedded:
        encoder = model.encoder(Role.IMAGE)
        watch = Stopwatch()
        try:
            pixels = await self._encoding.pixels(encoder, image)
        except TriptychError as error:
            raise error.within("image") from None
        preprocess_ns = watch.ns()
        inference = await self._encoding.infer(model, encoder, {PIXELS: pixels[np.newaxis]})
        return Embedded(_vector(inference), False, StageTimes.of(inference, preprocess_ns))

    async def _embed_text(self, model: Model, text: Text, alone: bool) -> Embedded:
        encoder = model.encoder(Role.TEXT)
        watch = Stopwatch()
        [tokens] = await self._encoding.tokens(model, Role.TEXT, [text.text], alone=alone)
        preprocess_ns = watch.ns()
        inputs = {INPUT_IDS: tokens.input_ids, ATTENTION_MASK: tokens.attention_mask}
        inference = await self._encoding.infer(model, encoder, inputs)
        times = StageTimes.of(inference, preprocess_ns)
        return Embedded(_vector(inference), tokens.truncated, times)


def _vector(inference: Inference) -> Vector:
    vector: Vector = inference.outputs[FEATURES][0]
    if not np.isfinite(vector).all():
        raise Internal("the encoder gave numbers that are not finite", reason="ENCODER_FAILED")
    return vector
