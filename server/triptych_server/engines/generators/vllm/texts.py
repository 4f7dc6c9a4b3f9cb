"""The chunks of a streamed answer, told as deltas."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from triptych_server.engines.generators.protocol import Cost, Delta, Finish
from triptych_server.engines.generators.text import StopStrings, TextStream
from triptych_server.errors import Unavailable

Choice = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """What a choice adds to its text."""

    text: str
    tokens: int
    log_probability: float


class Reader(Protocol):
    """One text, choice by choice."""

    @property
    def ended(self) -> bool:
        """By a stop string or a token that ends texts, whatever the server says."""
        ...

    def read(self, choice: Choice) -> Piece:
        """Take the next choice; the text that is certain now."""
        ...

    def finish(self) -> str:
        """The rest of the text. May set `ended`."""
        ...


class TokenReader:
    """A text that the gateway decodes itself, cut exactly where the generator in process cuts."""

    def __init__(self, text: TextStream, end_ids: Collection[int]) -> None:
        self._text = text
        self._end_ids = end_ids
        self._at_end = False

    @property
    def ended(self) -> bool:
        return self._at_end or self._text.stopped

    def read(self, choice: Choice) -> Piece:
        text, tokens, log_probability = "", 0, 0.0
        ids = choice.get("token_ids") or ()
        for token, of_token in zip(ids, log_probabilities(choice), strict=True):
            if self.ended:
                break
            tokens += 1
            log_probability += of_token
            self._at_end = token in self._end_ids
            if not self._at_end:
                text += self._text.push(token)
        return Piece(text, tokens, log_probability)

    def finish(self) -> str:
        return self._text.finish()


class PlainReader:
    """A text that vLLM decodes, cut before its stop strings here."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._cut = StopStrings(stop)

    @property
    def ended(self) -> bool:
        return self._cut.found

    def read(self, choice: Choice) -> Piece:
        text = choice["delta"].get("content") if "delta" in choice else choice["text"]
        each = log_probabilities(choice)
        return Piece(self._cut.push(text or ""), len(each), sum(each))

    def finish(self) -> str:
        return "" if self._cut.found else self._cut.finish()


class Texts:
    """The texts of one request.

    `prompt_tokens` is None where the server counts them; `check` gets them then, once, before any
    delta is given away.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        *,
        prompt_tokens: int | None,
        check: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._texts = {index: _Text(index, reader) for index, reader in enumerate(readers)}
        self._left = len(readers)
        self._served = 0  # texts that vLLM has ended
        self._prompt_tokens = prompt_tokens
        self._check: Callable[[Mapping[str, Any]], None] | None = check
        self._started_ns = time.monotonic_ns()
        self._first_token_ns = 0

    @property
    def finished(self) -> bool:
        """All texts have ended."""
        return not self._left

    @property
    def cut_short(self) -> bool:
        """All texts have ended here, but vLLM goes on."""
        return self.finished and self._served < len(self._texts)

    def take(self, chunk: Mapping[str, Any]) -> Iterator[Delta]:
        """What a chunk adds. Raises errors of Python's own if it is none of vLLM's."""
        if usage := chunk.get("usage"):
            self._prompt_tokens = usage["prompt_tokens"]
        for choice in chunk["choices"]:
            if self._check:
                self._check(chunk)
                self._check = None
            self._served += choice.get("finish_reason") is not None
            text = self._texts[choice["index"]]
            if text.finished:
                continue
            delta = text.take(choice)
            if not self._first_token_ns and text.tokens:
                self._first_token_ns = time.monotonic_ns() - self._started_ns
            if delta:
                yield self._with_cost(delta)

    def _with_cost(self, delta: Delta) -> Delta:
        if not delta.finish:
            return delta
        self._left -= 1
        if self._left:
            return delta
        cost = Cost(
            prompt_tokens=self._prompt_tokens or 0,
            queue_ns=0,  # vLLM tells neither its queue nor its batches
            first_token_ns=self._first_token_ns,
            generation_ns=time.monotonic_ns() - self._started_ns,
            batch_size=0,
        )
        return replace(delta, cost=cost)


class _Text:
    def __init__(self, index: int, reader: Reader) -> None:
        self.finished = False
        self.tokens = 0
        self._index = index
        self._reader = reader
        self._untold = Piece("", 0, 0.0)

    def take(self, choice: Choice) -> Delta | None:
        piece = self._reader.read(choice)
        self.tokens += piece.tokens
        text, finish = piece.text, _finish(choice)
        if finish or self._reader.ended:
            self.finished = True
            text += self._reader.finish()
            finish = Finish.STOP if self._reader.ended else finish
        tokens = self._untold.tokens + piece.tokens
        log_probability = self._untold.log_probability + piece.log_probability
        if not text and not finish:
            self._untold = Piece("", tokens, log_probability)
            return None
        self._untold = Piece("", 0, 0.0)
        return Delta(self._index, text, tokens, log_probability, finish)


def copies(delta: Delta, count: int) -> Sequence[Delta]:
    """The same for the first `count` texts; the cost stays with the last."""
    if count == 1:
        return (delta,)
    last = replace(delta, index=count - 1)
    return [*(replace(delta, index=index, cost=None) for index in range(count - 1)), last]


def log_probabilities(choice: Choice) -> Sequence[float]:
    """Of the tokens of a choice, in the form of either of vLLM's APIs. Raises errors of Python's
    own if it has neither."""
    told = choice.get("logprobs")
    if not told:
        return ()
    if "token_logprobs" in told:
        return [finite(each) for each in told["token_logprobs"]]
    return [finite(each["logprob"]) for each in told["content"] or ()]


def finite(told: Any) -> float:
    """A number of an answer; raises `ValueError` and `TypeError` if it is none."""
    if not math.isfinite(told):
        raise ValueError(f"{told} is no probability")
    return float(told)


def _finish(choice: Choice) -> Finish | None:
    match choice.get("finish_reason"):
        case None:
            return None
        case "stop" | "repetition" | "tool_calls":
            return Finish.STOP
        case "length":
            return Finish.LENGTH
        case other:
            raise Unavailable(f"vLLM ended a text: {other}", reason="GENERATOR_UNAVAILABLE")
