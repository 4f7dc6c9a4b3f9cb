"""Continuous batching: requests join and leave the batch between two steps."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

import numpy as np

from triptych_server.engines.generators.decoder import Decoder, Run
from triptych_server.engines.generators.decoder_batch import DecoderBatch
from triptych_server.engines.generators.requests import Outbox, Predictions, Row, RowsRequest
from triptych_server.engines.generators.sampling import (
    Floats,
    draw_all,
    log_normalizers,
    not_finite,
)
from triptych_server.errors import Internal, TriptychError

_log = logging.getLogger(__name__)


_Joining = tuple[RowsRequest, Sequence[Row]]  # and its texts


class RunningBatch:
    """The rows of all requests but beam searches; a step gives each of them a token.

    Rows that come take the places of rows that have gone: moving others there would take longer
    than computing what is free.
    """

    def __init__(self, decoder: Decoder, outbox: Outbox) -> None:
        self._decoder = decoder
        self._outbox = outbox
        self._batch = DecoderBatch(decoder)
        self._rows: list[Row | None] = []  # by their places in the batch
        self._held = 0  # places that are not free
        self._joining: list[_Joining] = []

    def __len__(self) -> int:
        return self._held + sum(len(rows) for _, rows in self._joining)

    def join(self, requests: Sequence[RowsRequest]) -> None:
        """Compute prompts together, and the first token of each text after them: now, or beside
        the next step.

        A bad prompt fails alone.
        """
        self._joining += [(request, request.rows()) for request in requests]
        if not self._decoder.beside(self._held):
            self._advance([], self._joining)
            self._joining = []

    def step(self) -> None:
        """Append to every row its last token, and choose the next."""
        self.prune()
        if self:
            self._advance([self._next()] if self._held else [], self._joining)
            self._joining = []

    def prune(self) -> None:
        """Free the rows that are finished and those whose request is over."""
        self._joining = [each for each in self._joining if not each[0].over]
        left = [
            place
            for place, row in enumerate(self._rows)
            if row and (row.token is None or row.request.over)
        ]
        if not left:
            return
        self._batch.free(left)
        for place in left:
            self._rows[place] = None
        del self._rows[len(self._batch) :]
        self._held -= len(left)
        if self._gaps >= self._held:
            sources = _compacted([place for place, row in enumerate(self._rows) if row])
            self._batch.keep(sources)
            self._rows = [self._rows[source] for source in sources]

    def fail(self, error: TriptychError) -> None:
        """End all requests, and begin with an empty batch."""
        for row in self._rows:
            if row:
                self._outbox.fail(row.request, error)
        for request, _ in self._joining:
            self._outbox.fail(request, error)
        self._rows, self._held, self._joining = [], 0, []
        self._batch = DecoderBatch(self._decoder)

    @property
    def _gaps(self) -> int:
        return len(self._rows) - self._held

    def _free_places(self) -> Iterator[int]:
        """The gaps, and then the places after the last row."""
        yield from [place for place, row in enumerate(self._rows) if row is None]
        yield from count(len(self._rows))

    def _next(self) -> Run:
        """Append to every row its last token."""
        tokens = [row.token if row else 0 for row in self._rows]
        return self._batch.next(np.array(tokens, np.int64))

    def _advance(self, steps: Sequence[Run], joining: Sequence[_Joining]) -> None:
        """Compute a step, if there is one, beside prompts; choose the tokens that follow.

        If that fails, the step is computed again without them, and each prompt alone.
        """
        free = self._free_places()
        places = [list(islice(free, len(rows))) for _, rows in joining]
        try:
            beginning = self._batch.begin([each.prompt.embeddings for each, _ in joining], places)
            logits = self._decoder.compute([*beginning.runs, *steps])
            first = self._batch.take(beginning, logits[: len(beginning.runs)])
        except Exception as error:  # whatever it is, the callers must hear of it
            if not joining:
                raise
            if not steps and len(joining) == 1:
                _log.error("a prompt failed", exc_info=error)
                self._outbox.fail(joining[0][0], failed(error))
                return
            if steps:
                self._advance(steps, [])
            for each in joining:
                self._advance([], [each])
            return
        rows: list[Row] = []
        found: list[Floats] = []
        if steps:
            rows += [row for row in self._rows if row]
            found.append(
                logits[-1][[bool(row) for row in self._rows]] if self._gaps else logits[-1]
            )
        if joining:
            rows += self._put(places, [each for _, each in joining])
            found.append(np.repeat(first, [len(each) for _, each in joining], axis=0))
        self._choose(rows, np.concatenate(found))

    def _put(self, places: Sequence[Sequence[int]], texts: Sequence[Sequence[Row]]) -> list[Row]:
        """Let texts hold places that the batch gave them; returns all of them."""
        self._rows += [None] * (len(self._batch) - len(self._rows))
        rows = list(chain.from_iterable(texts))
        for place, row in zip(chain.from_iterable(places), rows, strict=True):
            self._rows[place] = row
        self._held += len(rows)
        return rows

    def _choose(self, rows: Sequence[Row], logits: Floats) -> None:
        """Let rows take their next tokens."""
        normalizers = log_normalizers(logits)
        finite = np.isfinite(normalizers).tolist()
        likeliest = logits.argmax(-1).tolist()
        predictions = Predictions(logits, normalizers.tolist(), likeliest, _drawn(rows, logits))
        together = self._held
        for index, row in enumerate(rows):
            row.request.batch_size = max(row.request.batch_size, together)
            if not finite[index]:
                self._outbox.fail(row.request, not_finite())
            elif not row.request.over:
                self._take(row, predictions, index)

    def _take(self, row: Row, predictions: Predictions, index: int) -> None:
        """Let one row take its next token; if that fails, its request does."""
        try:
            row.take(predictions, index, self._outbox)
        except Exception as error:  # whatever it is, the caller must hear of it
            _log.exception("a text failed")
            self._outbox.fail(row.request, failed(error))


def _drawn(rows: Sequence[Row], logits: Floats) -> Sequence[int | None]:
    """The tokens that rows want drawn: one after the other would take longer than the network
    does."""
    dice = {place: each for place, row in enumerate(rows) if (each := row.dice())}
    if len(dice) == len(rows):
        return draw_all(logits, [*dice.values()])
    drawn: list[int | None] = [None] * len(rows)
    for place, token in zip(dice, draw_all(logits[[*dice]], [*dice.values()]), strict=True):
        drawn[place] = token
    return drawn


def _compacted(places: Sequence[int]) -> list[int]:
    """Ascending `places` in an order in which as many as possible stay: the last fill the gaps."""
    staying = {place for place in places if place < len(places)}
    moving = iter(places[len(staying) :])
    return [place if place in staying else next(moving) for place in range(len(places))]


def failed(error: Exception) -> TriptychError:
    """The error that callers get for one of the network."""
    return Internal(f"the generator failed: {error}", reason="GENERATOR_FAILED")
