"""Vectors of texts, each encoded once for all searches."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.mils.candidates import Vector
from triptych_server.capabilities.mils.scorer import Embedded, ScoringCost, Vectors
from triptych_server.capabilities.mils.text_runs import Run, TextRuns, run_texts
from triptych_server.capabilities.mils.vector_cache import Key, VectorCache
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.encoders import Role
from triptych_server.errors import Internal
from triptych_server.media.text import TokenizedText

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
        self._joined: list[Run] = []

    async def encode(self, texts: Sequence[str], vectors: Vectors) -> ScoringCost:
        """Write the vectors of texts into the rows of `vectors`."""
        try:
            begun, times = await self._begin(list(dict.fromkeys(texts)))
            times = times.then(await self._wait())
        finally:
            for run in self._joined:
                self._runs.leave(run)
        for row, text in enumerate(texts):
            if text not in self._vectors:
                raise Internal(
                    "the encoder gave numbers that are not finite", reason="ENCODER_FAILED"
                )
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
        most = run_texts(self._model.encoder(Role.TEXT))
        for group in _runs({self._key(text): tokens_of[text] for text in missing}, most):
            self._join(self._runs.begin(self._model, group, share=self._remember))
        return len(missing), times

    def _look_up(self, texts: Sequence[str]) -> list[str]:
        """Take what is known and join what is under way; returns the rest."""
        if not self._remember:
            return list(texts)
        missing = []
        for text in texts:
            key = self._key(text)
            vector, run = self._cache.get(key), self._runs.under_way(key)
            if vector is not None:
                self._vectors[text] = vector
            elif run is not None:
                self._join(run)
            else:
                missing.append(text)
        return missing

    def _join(self, run: Run) -> None:
        if run not in self._joined:
            self._runs.join(run)
            self._joined.append(run)

    async def _wait(self) -> StageTimes:
        """Wait for the runs that were joined; raises what one of them fails of."""
        tasks = [run.task for run in self._joined]
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        encoded = [task.result() for task in tasks]
        for each in encoded:
            self._vectors.update({key[-1]: vector for key, vector in each.vectors.items()})
        return StageTimes.longest(each.times for each in encoded)

    def _key(self, text: str) -> Key:
        encoder = self._model.encoder(Role.TEXT)
        return encoder.space, encoder.name, encoder.version, text


def _runs(tokens: Mapping[Key, TokenizedText], most: int) -> Iterator[Mapping[Key, TokenizedText]]:
    """Texts of equal length, at most so many together."""
    of_length: dict[int, list[Key]] = {}
    for key, each in tokens.items():
        of_length.setdefault(each.input_ids.shape[1], []).append(key)
    for keys in of_length.values():
        for first in range(0, len(keys), most):
            yield {key: tokens[key] for key in keys[first : first + most]}
