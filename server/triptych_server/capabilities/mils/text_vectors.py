"""Vectors of texts, each encoded once for all searches."""

import asyncio
from collections.abc import Sequence

import numpy as np

from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.mils.scorer import Embedded, ScoringCost, Vectors
from triptych_server.capabilities.mils.text_runs import Awaited, TextRuns
from triptych_server.capabilities.mils.vector_cache import Key, VectorCache
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.capabilities.vectors import Vector
from triptych_server.engines.encoders import Role

SLICE = 256  # texts of one call that are prepared together, in a few milliseconds


class TextVectors:
    """Encodes texts with the text encoders of models, and remembers up to `capacity_bytes` of
    vectors, those used last.

    Texts are one when they differ in nothing but white space, of which one space is encoded; unlike
    case, no tokenizer of a model of pictures looks at more of it. Vectors of another space, encoder
    or version are never mixed up: even precisions of one checkpoint differ by more than rounding.

    A text that several calls ask for at once is encoded once. At most `rows` texts are with the
    engine at a time; where its queue is full they wait.
    """

    def __init__(self, encoding: Encoding, *, capacity_bytes: int, rows: int) -> None:
        self._encoding = encoding
        self._cache = VectorCache(capacity_bytes)
        self._runs = TextRuns(encoding, self._cache, rows=rows)

    async def encode(
        self, model: Model, texts: Sequence[str], *, remember: bool = True
    ) -> Embedded:
        """The vectors `[N, D]` of texts, which are cut to the model's context.

        The cost counts as known what was remembered, is under way for another call, or occurs
        earlier in this one. Without `remember` nothing is looked up or kept. Raises as `Encoding`,
        and `Internal` for a vector that is not finite.
        """
        vectors = np.empty((len(texts), model.encoder(Role.TEXT).dimension), np.float32)
        cost = ScoringCost()
        for first in range(0, len(texts), SLICE):
            some = [" ".join(text.split()) for text in texts[first : first + SLICE]]
            share = _Share(self._encoding, self._cache, self._runs, model, remember)
            cost = cost.then(await share.encode(some, vectors[first : first + SLICE]))
            await asyncio.sleep(0)  # what is all known keeps nobody else waiting for long
        return Embedded(vectors, cost)


class _Share:
    """One call's share in what is known and under way."""

    def __init__(
        self,
        encoding: Encoding,
        cache: VectorCache,
        runs: TextRuns,
        model: Model,
        remember: bool,
    ) -> None:
        self._encoding = encoding
        self._cache = cache
        self._runs = runs
        self._model = model
        self._remember = remember
        self._vectors: dict[str, Vector] = {}
        self._joined: dict[str, Awaited] = {}

    async def encode(self, texts: Sequence[str], vectors: Vectors) -> ScoringCost:
        """Write the vectors of texts into the rows of `vectors`."""
        try:
            begun, times = await self._begin(list(dict.fromkeys(texts)))
            times = times.then(await self._wait())
        finally:
            for each in self._joined.values():
                self._runs.leave(each)
        for row, text in enumerate(texts):
            vectors[row] = self._vectors[text]
        return ScoringCost(begun, len(texts) - begun, times=times)

    async def _begin(self, texts: Sequence[str]) -> tuple[int, StageTimes]:
        """Find what is known or under way, and begin to encode the rest; returns how many texts
        that are."""
        missing = self._look_up(texts)
        if not missing:
            return 0, StageTimes()
        watch = Stopwatch()
        tokens = await self._encoding.tokens(self._model, Role.TEXT, missing)
        times = StageTimes(preprocess_ns=watch.ns())
        tokens_of = dict(zip(missing, tokens, strict=True))
        missing = self._look_up(missing)  # another call may have begun with them meanwhile
        for text in missing:
            key = self._key(text)
            added = self._runs.add(self._model, key, tokens_of[text], share=self._remember)
            self._join(text, added)
        return len(missing), times

    def _look_up(self, texts: Sequence[str]) -> list[str]:
        """Take what is known and join what is under way; returns the rest."""
        if not self._remember:
            return list(texts)
        missing = []
        for text in texts:
            key = self._key(text)
            if (vector := self._cache.get(key)) is not None:
                self._vectors[text] = vector
            elif (awaited := self._runs.under_way(key)) is not None:
                self._join(text, awaited)
            else:
                missing.append(text)
        return missing

    def _join(self, text: str, awaited: Awaited) -> None:
        self._runs.join(awaited)
        self._joined[text] = awaited

    async def _wait(self) -> StageTimes:
        """Wait for what was joined; raises what one of the runs fails of."""
        if self._joined:
            done, _ = await asyncio.wait(
                [each.encoded for each in self._joined.values()],
                return_when=asyncio.FIRST_EXCEPTION,
            )
            for each in done:
                each.result()
        encoded = {text: each.encoded.result() for text, each in self._joined.items()}
        self._vectors.update({text: each.vector for text, each in encoded.items()})
        return StageTimes.longest(each.times for each in encoded.values())

    def _key(self, text: str) -> Key:
        encoder = self._model.encoder(Role.TEXT)
        return encoder.space, encoder.name, encoder.version, text
