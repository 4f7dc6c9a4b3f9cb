"""Calls of a generator on their way through its batches."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.prompts import EncodedPrompt
from triptych_server.engines.generators.protocol import Cost, Delta, Scores
from triptych_server.engines.generators.sampling import Dice
from triptych_server.errors import TriptychError

Event = Delta | Scores | TriptychError
Floats = npt.NDArray[np.float32]


class Request:
    """One call: what the worker needs to compute it, and the way back to the caller.

    It holds at most `tokens` in the cache. The worker alone changes it, but for `cancelled`.
    """

    def __init__(self, prompt: EncodedPrompt, tokens: int) -> None:
        self.prompt = prompt
        self.tokens = tokens
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.cancelled = False
        self.batch_size = 0  # rows of the largest batch so far
        self._ended = False
        self._submitted_ns = time.monotonic_ns()
        self._admitted_ns = self._first_token_ns = self._submitted_ns

    @property
    def over(self) -> bool:
        """Nobody waits for more of it."""
        return self._ended or self.cancelled

    def admit(self) -> None:
        """It leaves the queue."""
        self._admitted_ns = time.monotonic_ns()

    def begin(self) -> None:
        """Its first tokens are known."""
        self._first_token_ns = time.monotonic_ns()

    def end(self) -> None:
        """Its last event is out."""
        self._ended = True

    def cost(self) -> Cost:
        """What it took until now."""
        return Cost(
            prompt_tokens=len(self.prompt),
            queue_ns=self._admitted_ns - self._submitted_ns,
            first_token_ns=self._first_token_ns - self._admitted_ns,
            generation_ns=time.monotonic_ns() - self._admitted_ns,
            batch_size=self.batch_size,
        )


class Outbox:
    """What one step has to tell, handed to the event loop in one go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: list[tuple[Request, Event]] = []

    def put(self, request: Request, event: Event) -> None:
        """Tell the caller of `request`, if there is one still."""
        if not request.over:
            self._events.append((request, event))

    def fail(self, request: Request, error: TriptychError) -> None:
        """Tell the caller of `request` why it ends."""
        self.put(request, error)
        request.end()

    def send(self) -> None:
        """Hand over what was put since the last time."""
        if self._events:
            events, self._events = self._events, []
            self._loop.call_soon_threadsafe(_deliver, events)


def _deliver(events: Sequence[tuple[Request, Event]]) -> None:
    for request, event in events:
        request.events.put_nowait(event)


class Predictions(NamedTuple):
    """What the network says about the next tokens of rows: `logits` `[R, V]`, and of each row the
    logarithm of the sum of their exponentials, the likeliest token, and the one that was drawn as
    the row asked."""

    logits: Floats
    normalizers: Sequence[float]
    likeliest: Sequence[int]
    drawn: Sequence[int | None]

    def log_probability(self, index: int, token: int) -> float:
        """Natural logarithm of the probability of a row's token."""
        return float(self.logits[index, token]) - self.normalizers[index]


class Row(Protocol):
    """A text of a request in the running batch."""

    @property
    def request(self) -> Request: ...

    @property
    def token(self) -> int | None:
        """What the network appends to it next; None when the row is finished."""
        ...

    def dice(self) -> Dice | None:
        """What draws its next token, together with those of other rows; None if `take` chooses."""
        ...

    def take(self, predictions: Predictions, index: int, outbox: Outbox) -> None:
        """Decide about the next token, predicted in row `index`, and tell the caller."""
        ...


class RowsRequest(Request):
    """A request whose texts are rows of the running batch."""

    def rows(self) -> Sequence[Row]:
        """Its texts, all after the same prompt."""
        raise NotImplementedError
