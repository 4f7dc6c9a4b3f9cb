"""Runs of text encoders that several calls may wait for."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triptych_server import deadline
from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.mils.candidates import Vector
from triptych_server.capabilities.mils.vector_cache import Key, VectorCache
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.encoders import EncoderSpec, Role
from triptych_server.engines.encoders.spec import ATTENTION_MASK, FEATURES, INPUT_IDS
from triptych_server.media.text import TokenizedText

RUN_TEXTS = 8  # encoded in one run: more are no faster on CPUs, and engines join smaller runs


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of one run by key, without those that are not finite."""

    vectors: Mapping[Key, Vector]
    times: StageTimes


@dataclass(slots=True, eq=False)
class Run:
    """Texts that are encoded together, and how many calls wait for them."""

    keys: Sequence[Key]
    task: asyncio.Task[Encoded]
    waiting: int = 0


class TextRuns:
    """Encodes texts with the text encoders of models and puts their vectors into `cache`.

    A run goes on for as long as a call waits for it. At most `rows` texts are with the engine at a
    time; where its queue is full they wait.
    """

    def __init__(self, encoding: Encoding, cache: VectorCache, *, rows: int) -> None:
        self._encoding = encoding
        self._cache = cache
        self._under_way: dict[Key, Run] = {}
        self._room = asyncio.Semaphore(max(rows // RUN_TEXTS, 1))
        self._patience = Patience(begun=True)

    def under_way(self, key: Key) -> Run | None:
        """The run that will give the vector of a text."""
        return self._under_way.get(key)

    def begin(self, model: Model, tokens: Mapping[Key, TokenizedText], *, share: bool) -> Run:
        """Encode texts of equal length; who begins has to `join`. Without `share` the run is of no
        use to other calls, and nothing of it is kept."""
        run = Run(list(tokens), asyncio.create_task(self._encode(model, tokens, keep=share)))
        if share:
            self._under_way.update(dict.fromkeys(tokens, run))
        run.task.add_done_callback(lambda _: self._ended(run))
        return run

    def join(self, run: Run) -> None:
        """One call more waits."""
        run.waiting += 1

    def leave(self, run: Run) -> None:
        """One call waits no more; the last one gives the run up, unless it has ended."""
        run.waiting -= 1
        if not run.waiting and not run.task.done():
            self._withdraw(run)  # now, for the next call must not wait for what was given up
            run.task.cancel()

    def _ended(self, run: Run) -> None:
        self._withdraw(run)
        if not run.task.cancelled():
            run.task.exception()  # who waited was told; if all have left, nobody need be

    def _withdraw(self, run: Run) -> None:
        for key in run.keys:
            if self._under_way.get(key) is run:
                del self._under_way[key]

    async def _encode(
        self, model: Model, tokens: Mapping[Key, TokenizedText], *, keep: bool
    ) -> Encoded:
        deadline.end_in(None)  # the deadline of the call that began is not that of the others
        inputs = {
            INPUT_IDS: np.concatenate([each.input_ids for each in tokens.values()]),
            ATTENTION_MASK: np.concatenate([each.attention_mask for each in tokens.values()]),
        }
        async with self._room:
            inference = await self._patience.admitted(
                lambda: self._encoding.infer(model, model.encoder(Role.TEXT), inputs)
            )
        features = inference.outputs[FEATURES]
        vectors = {
            key: row.copy()  # a view would keep the whole batch
            for key, row in zip(tokens, features, strict=True)
            if np.isfinite(row).all()
        }
        if keep:
            for key, vector in vectors.items():
                self._cache.put(key, vector)
        return Encoded(vectors, StageTimes.of(inference))


def run_texts(encoder: EncoderSpec) -> int:
    """How many texts this encoder takes in one run."""
    return min(RUN_TEXTS, encoder.max_batch_size or RUN_TEXTS)
