"""Runs of text encoders, made of the texts of all calls that wait."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice

import numpy as np

from triptych_server import deadline
from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.mils.vector_cache import Key, VectorCache
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.capabilities.vectors import Vector
from triptych_server.engines.encoders import Inference, Role
from triptych_server.engines.encoders.spec import ATTENTION_MASK, FEATURES, INPUT_IDS
from triptych_server.errors import Internal
from triptych_server.media.text import TokenizedText

RUN_TEXTS = 8  # encoded in one run: more are no faster on CPUs, and engines join runs
# Of texts of one length, these begin at once; while they are under way, others wait to fill a run.
EAGER_RUNS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vector `[D]` of a text, and what its run took."""

    vector: Vector
    times: StageTimes


@dataclass(slots=True, eq=False)
class Awaited:
    """A text that is to be encoded, and the calls that wait for it. What comes of one that is not
    `shared` is not remembered."""

    key: Key
    model: Model
    tokens: TokenizedText
    shared: bool
    number: int
    encoded: asyncio.Future[Encoded]
    waiting: list[deadline.Call] = field(default_factory=list)
    run: "_Run | None" = None


@dataclass(slots=True, eq=False)
class _Run:
    """Texts that are encoded together."""

    texts: Sequence[Awaited]
    task: asyncio.Task[None]


@dataclass(slots=True, eq=False)
class _Lane:
    """Texts of one encoder and length: those that wait, oldest first, and how many runs are under
    way."""

    key: tuple[str, ...]
    run_texts: int
    texts: dict[Awaited, None] = field(default_factory=dict)
    running: int = 0

    @property
    def ready(self) -> bool:
        full = len(self.texts) >= self.run_texts
        return full or (bool(self.texts) and self.running < EAGER_RUNS)


class TextRuns:
    """Encodes texts with the text encoders of models, and puts their vectors into `cache`.

    At most `rows` texts are with the engine at a time; where its queue is full they wait. A run is
    given up once no call waits for any of its texts.
    """

    def __init__(self, encoding: Encoding, cache: VectorCache, *, rows: int) -> None:
        self._encoding = encoding
        self._cache = cache
        self._under_way: dict[Key, Awaited] = {}
        self._lanes: dict[tuple[str, ...], _Lane] = {}
        self._running, self._most_running = 0, max(rows // RUN_TEXTS, 1)
        self._numbers = count()
        self._dispatching = False
        self._patience = Patience(begun=True)

    def under_way(self, key: Key) -> Awaited | None:
        """A text that other calls wait for."""
        return self._under_way.get(key)

    def add(self, model: Model, key: Key, tokens: TokenizedText, *, share: bool) -> Awaited:
        """A text to be encoded; who adds it has to `join`. Without `share` it is none of other
        calls' business."""
        loop = asyncio.get_running_loop()
        text = Awaited(key, model, tokens, share, next(self._numbers), loop.create_future())
        if share:
            self._under_way[key] = text
        self._lane(text).texts[text] = None
        if not self._dispatching:  # after what else comes in this turn of the loop
            self._dispatching = True
            loop.call_soon(self._dispatch)
        return text

    def join(self, text: Awaited) -> None:
        """One call more waits."""
        text.waiting.append(deadline.call())

    def leave(self, text: Awaited) -> None:
        """One call waits no more; what nobody waits for is given up, unless it is done."""
        text.waiting.remove(deadline.call())
        if text.waiting or text.encoded.done():
            return
        if text.run is None:
            lane = self._lane(text)
            del lane.texts[text]
            self._withdraw(text)
            self._drop_idle(lane)
        elif not any(each.waiting for each in text.run.texts):
            for each in text.run.texts:
                self._withdraw(each)  # now, for the next call must not wait for it
            text.run.task.cancel()

    def _lane(self, text: Awaited) -> _Lane:
        encoder, length = text.model.encoder(Role.TEXT), text.tokens.input_ids.shape[1]
        most = min(RUN_TEXTS, encoder.max_batch_size or RUN_TEXTS)
        key = (*text.key[:-1], str(length))
        return self._lanes.setdefault(key, _Lane(key, most))

    def _drop_idle(self, lane: _Lane) -> None:
        """Forget a lane that has nothing to do: its encoder may be gone."""
        if not lane.texts and not lane.running:
            del self._lanes[lane.key]

    def _withdraw(self, text: Awaited) -> None:
        if self._under_way.get(text.key) is text:
            del self._under_way[text.key]

    def _dispatch(self) -> None:
        """Start runs while there is room for them, of the texts that wait longest."""
        self._dispatching = False
        while self._running < self._most_running:
            ready = [lane for lane in self._lanes.values() if lane.ready]
            if not ready:
                return
            self._start(min(ready, key=lambda lane: next(iter(lane.texts)).number))

    def _start(self, lane: _Lane) -> None:
        texts = list(islice(lane.texts, lane.run_texts))
        run = _Run(texts, asyncio.create_task(self._encode(texts)))
        for text in texts:
            del lane.texts[text]
            text.run = run
        lane.running += 1
        self._running += 1
        run.task.add_done_callback(partial(self._end, lane, run))

    def _end(self, lane: _Lane, run: _Run, task: asyncio.Task[None]) -> None:
        lane.running -= 1
        self._running -= 1
        error = None if task.cancelled() else task.exception()
        for text in run.texts:
            self._withdraw(text)
            if error:
                _fail(text, error)
            elif not text.encoded.done():
                text.encoded.cancel()
        self._dispatch()
        self._drop_idle(lane)

    def _check_wanted(self, texts: Sequence[Awaited]) -> None:
        """Raise `CancelledError` if all who wait were told to end, and have only not left yet."""
        if not deadline.wanted(*(call for text in texts for call in text.waiting)):
            for text in texts:
                self._withdraw(text)
            raise asyncio.CancelledError

    async def _encode(self, texts: Sequence[Awaited]) -> None:
        deadline.end_in(None)  # the deadline of one call is not that of the others
        deadline.work_for(None)
        model = texts[0].model
        inputs = {
            INPUT_IDS: np.concatenate([text.tokens.input_ids for text in texts]),
            ATTENTION_MASK: np.concatenate([text.tokens.attention_mask for text in texts]),
        }

        async def attempt() -> Inference:
            self._check_wanted(texts)
            return await self._encoding.infer(model, model.encoder(Role.TEXT), inputs)

        inference = await self._patience.admitted(attempt)
        times = StageTimes.of(inference)
        for text, row in zip(texts, inference.outputs[FEATURES], strict=True):
            if np.isfinite(row).all():
                vector = row.copy()  # a view would keep the whole batch
                if text.shared:
                    self._cache.put(text.key, vector)
                text.encoded.set_result(Encoded(vector, times))
            else:
                _fail(text, _not_finite())


def _fail(text: Awaited, error: BaseException) -> None:
    if not text.encoded.done():
        text.encoded.set_exception(error)
        text.encoded.exception()  # who waits is told; if nobody does any more, none need be


def _not_finite() -> Internal:
    return Internal("the encoder gave numbers that are not finite", reason="ENCODER_FAILED")
