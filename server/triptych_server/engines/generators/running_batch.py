"""Continuous batching: requests join and leave the batch between two steps."""

import logging
from collections.abc import Sequence
from itertools import chain

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
    """The rows of all requests but beam searches; a step gives each of them a token."""

    def __init__(self, decoder: Decoder, outbox: Outbox) -> None:
        self._decoder = decoder
        self._outbox = outbox
        self._batch = decoder.batch()
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, requests: Sequence[RowsRequest]) -> None:
        """Compute prompts together, and the first token of each text after them.

        If that fails, each is computed alone, so that a bad one fails alone.
        """
        held = len(self._rows)
        rows = [request.rows() for request in requests]
        try:
            logits = self._batch.add(
                [request.prompt.embeddings for request in requests], list(map(len, rows))
            )
        except Exception as error:  # whatever it is, the callers must hear of it
            if len(self._batch) != held:
                raise
            if len(requests) == 1:
                _log.exception("a prompt failed")
                self._outbox.fail(requests[0], failed(error))
                return
            for request in requests:
                self.join([request])
            return
        self._rows += chain.from_iterable(rows)
        self._choose(held, np.repeat(logits, list(map(len, rows)), axis=0))

    def step(self) -> None:
        """Append to every row its last token, and choose the next."""
        self.prune()
        if self._rows:
            tokens = np.array([row.token for row in self._rows], np.int64)
            self._choose(0, self._batch.step(tokens))

    def prune(self) -> None:
        """Drop the rows that are finished and those whose request is over."""
        kept = [
            place
            for place, row in enumerate(self._rows)
            if row.token is not None and not row.request.over
        ]
        if len(kept) < len(self._rows):
            sources = _compacted(kept)
            self._batch.keep(sources)
            self._rows = [self._rows[source] for source in sources]

    def fail(self, error: TriptychError) -> None:
        """End all requests, and begin with an empty batch."""
        for row in self._rows:
            self._outbox.fail(row.request, error)
        self._rows = []
        self._batch = self._decoder.batch()

    def _choose(self, first: int, logits: Floats) -> None:
        """Let the rows from `first` on take their next token."""
        normalizers = log_normalizers(logits).tolist()
        likeliest = logits.argmax(-1).tolist()
        finite = np.isfinite(normalizers).tolist()
        drawn = _drawn(self._rows[first:], logits)
        for index, row in enumerate(self._rows[first:]):
            row.request.batch_size = max(row.request.batch_size, len(self._rows))
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
    return dict(zip(places, draw_all(logits[places], [*draws.values()]), strict=True))


def _compacted(places: Sequence[int]) -> list[int]:
    """Ascending `places` in an order in which as many as possible stay: the last fill the gaps."""
    staying = {place for place in places if place < len(places)}
    moving = iter(places[len(staying) :])
    return [place if place in staying else next(moving) for place in range(len(places))]


def failed(error: Exception) -> TriptychError:
    """The error that callers get for one of the network."""
    return Internal(f"the generator failed: {error}", reason="GENERATOR_FAILED")
