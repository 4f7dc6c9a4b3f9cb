"""Continuous batching: requests join and leave the batch between two steps."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

import numpy as np

from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.requests import Outbox, Prediction, Row, RowsRequest
from triptych_server.engines.generators.sampling import (
    Floats,
    draw_all,
    log_normalizers,
    not_finite,
)
from triptych_server.errors import Internal, TriptychError

_log = logging.getLogger(__name__)


class RunningBatch:
    """The rows of all requests but beam searches; a step gives each of them a token.

    Rows that come take the places of rows that have gone: moving others there would take longer
    than computing what is free.
    """

    def __init__(self, decoder: Decoder, outbox: Outbox) -> None:
        self._decoder = decoder
        self._outbox = outbox
        self._batch = decoder.batch()
        self._rows: list[Row | None] = []  # by their places in the batch
        self._held = 0  # places that are not free

    def __len__(self) -> int:
        return self._held

    def join(self, requests: Sequence[RowsRequest]) -> None:
        """Compute prompts together, and the first token of each text after them.

        If that fails, each is computed alone, so that a bad one fails alone.
        """
        rows = [request.rows() for request in requests]
        free = self._free_places()
        places = [list(islice(free, len(texts))) for texts in rows]
        before = len(self._batch)
        try:
            logits = self._batch.add([request.prompt.embeddings for request in requests], places)
        except Exception as error:  # whatever it is, the callers must hear of it
            if len(self._batch) != before:
                raise
            if len(requests) == 1:
                _log.exception("a prompt failed")
                self._outbox.fail(requests[0], failed(error))
                return
            for request in requests:
                self.join([request])
            return
        self._rows += [None] * (len(self._batch) - len(self._rows))
        joined = list(zip(chain.from_iterable(places), chain.from_iterable(rows), strict=True))
        for place, row in joined:
            self._rows[place] = row
        self._held += len(joined)
        of_rows = np.repeat(logits, [len(texts) for texts in rows], axis=0)
        self._choose([row for _, row in joined], of_rows)

    def step(self) -> None:
        """Append to every row its last token, and choose the next."""
        self.prune()
        if self._held:
            held = [(place, row) for place, row in enumerate(self._rows) if row]
            tokens = np.zeros(len(self._rows), np.int64)
            places = [place for place, _ in held]
            tokens[places] = np.array([row.token for _, row in held], np.int64)
            logits = self._batch.step(tokens)
            self._choose([row for _, row in held], logits[places] if self._gaps else logits)

    def prune(self) -> None:
        """Free the rows that are finished and those whose request is over."""
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
        self._rows, self._held = [], 0
        self._batch = self._decoder.batch()

    @property
    def _gaps(self) -> int:
        return len(self._rows) - self._held

    def _free_places(self) -> Iterator[int]:
        """The gaps, and then the places after the last row."""
        yield from [place for place, row in enumerate(self._rows) if row is None]
        yield from count(len(self._rows))

    def _choose(self, rows: Sequence[Row], logits: Floats) -> None:
        """Let rows take their next tokens."""
        normalizers = log_normalizers(logits).tolist()
        likeliest = logits.argmax(-1).tolist()
        finite = np.isfinite(normalizers).tolist()
        drawn = _drawn(rows, logits)
        for index, row in enumerate(rows):
            row.request.batch_size = max(row.request.batch_size, self._held)
            if not finite[index]:
                self._outbox.fail(row.request, not_finite())
            elif not row.request.over:
                self._take(
                    row,
                    Prediction(
                        logits[index], normalizers[index], likeliest[index], drawn.get(index)
                    ),
                )

    def _take(self, row: Row, prediction: Prediction) -> None:
        """Let one row take its next token; if that fails, its request does."""
        try:
            row.take(prediction, self._outbox)
        except Exception as error:  # whatever it is, the caller must hear of it
            _log.exception("a text failed")
            self._outbox.fail(row.request, failed(error))


def _drawn(rows: Sequence[Row], logits: Floats) -> dict[int, int]:
    """The tokens that rows want drawn, by their places: one after the other would take longer than
    the network does."""
    draws = {place: draw for place, row in enumerate(rows) if (draw := row.draw())}
    if not draws:
        return {}
    places = [*draws]
    chosen = logits if len(places) == len(logits) else logits[places]
    return dict(zip(places, draw_all(chosen, [*draws.values()]), strict=True))


def _compacted(places: Sequence[int]) -> list[int]:
    """Ascending `places` in an order in which as many as possible stay: the last fill the gaps."""
    staying = {place for place in places if place < len(places)}
    moving = iter(places[len(staying) :])
    return [place if place in staying else next(moving) for place in range(len(places))]


def failed(error: Exception) -> TriptychError:
    """The error that callers get for one of the network."""
    return Internal(f"the generator failed: {error}", reason="GENERATOR_FAILED")
