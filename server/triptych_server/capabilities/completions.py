"""Texts that a generator wrote, and what they took."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Cost, Delta, Finish
from triptych_server.errors import Internal


@dataclass(frozen=True, slots=True)
class Completion:
    """One text. `log_probability` is that of its `tokens`, the end of text included."""

    text: str
    tokens: int
    log_probability: float
    finish: Finish


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of prompts and of texts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def sum(cls, usages: Iterable["Usage"]) -> "Usage":
        every = list(usages)
        return cls(
            sum(usage.prompt_tokens for usage in every),
            sum(usage.completion_tokens for usage in every),
        )


class Progress:
    """A request to a generator, made now, while its texts come in."""

    def __init__(self) -> None:
        self._submitted_ns = time.monotonic_ns()
        self._deltas: dict[int, list[Delta]] = {}
        self._cost: Cost | None = None

    def add(self, delta: Delta) -> None:
        """Take the next piece of a text."""
        self._deltas.setdefault(delta.index, []).append(delta)
        self._cost = delta.cost or self._cost

    @property
    def completions(self) -> list[Completion]:
        """The texts, by index. Raises `Internal` if they have not ended, as the others do."""
        return [_joined(deltas) for _, deltas in sorted(self._deltas.items())]

    @property
    def usage(self) -> Usage:
        tokens = sum(delta.tokens for deltas in self._deltas.values() for delta in deltas)
        return Usage(self._final.prompt_tokens, tokens)

    @property
    def times(self) -> StageTimes:
        return StageTimes.of_generation(self._final, self._submitted_ns)

    @property
    def _final(self) -> Cost:
        if self._cost is None:
            raise _not_ended()
        return self._cost


def _joined(deltas: Sequence[Delta]) -> Completion:
    finish = deltas[-1].finish
    if finish is None:
        raise _not_ended()
    return Completion(
        "".join(delta.text for delta in deltas),
        sum(delta.tokens for delta in deltas),
        sum(delta.log_probability for delta in deltas),
        finish,
    )


def _not_ended() -> Internal:
    return Internal("the generator did not end its texts", reason="GENERATOR_FAILED")
