"""How likely texts are that are given.

vLLM tells the probability of every token of a prompt that was sent as ids. Of embedded positions it
tells none; there each token of a text is asked for by itself, after all before it, with all others
forbidden (teacher forcing). vLLM computes what these requests share once.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from triptych_server.engines.generators.protocol import Cost, Scores
from triptych_server.engines.generators.vllm.calls import COMPLETIONS, encoded
from triptych_server.engines.generators.vllm.errors import reading
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.engines.generators.vllm.texts import finite, log_probabilities

# Requests that are under way at once: of one call, and of all.
OF_ONE_CALL, OF_ALL_CALLS = 64, 256

# The fields of a request for the prompt with more tokens after it.
MakePrompt = Callable[[list[int]], Mapping[str, Any]]

# Tokens of which the last is asked for: so many of these.
Start = tuple[Sequence[int], int]


class Scorer:
    """Scores the continuations of prompts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turns = asyncio.Semaphore(OF_ALL_CALLS)

    async def scores(
        self,
        prompt: MakePrompt,
        continuations: Sequence[Sequence[int]],
        *,
        prompt_tokens: int,
        embedded: bool,
    ) -> Scores:
        """Of the token ids of each continuation, after a prompt of so many tokens."""
        call = _Call(self._server, self._turns, prompt, whole=not embedded)
        if embedded:
            starts, places = _starts(continuations)
            of_starts = await call.ask(starts)
            log_probabilities = [sum(of_starts[place] for place in each) for each in places]
        else:
            log_probabilities = await call.ask([(ids, len(ids)) for ids in continuations])
        cost = Cost(
            prompt_tokens=prompt_tokens,
            queue_ns=0,
            first_token_ns=call.first_ns,
            generation_ns=call.elapsed_ns(),
            batch_size=0,
        )
        return Scores(log_probabilities, [len(ids) for ids in continuations], cost)


class _Call:
    """The requests about one prompt: each for the last token of a start and, if `whole`, for those
    before it. `first_ns` is the time to the first answer."""

    def __init__(
        self, server: Server, turns: asyncio.Semaphore, prompt: MakePrompt, *, whole: bool
    ) -> None:
        self.first_ns = 0
        self._server = server
        self._turns = turns
        self._prompt = prompt
        self._whole = whole
        self._began_ns = time.monotonic_ns()

    def elapsed_ns(self) -> int:
        return time.monotonic_ns() - self._began_ns

    async def ask(self, starts: Sequence[Start]) -> list[float]:
        """The natural logarithm of each. The first request to fail cancels the others."""
        found = [0.0] * len(starts)
        left = iter(enumerate(starts))

        async def work() -> None:
            for place, (ids, count) in left:
                found[place] = await self._log_probability(ids[:count])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(starts), OF_ONE_CALL)):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return found

    async def _log_probability(self, ids: Sequence[int]) -> float:
        async with self._turns:
            body = await asyncio.to_thread(self._body, ids)
            answer = await self._server.endpoints.post(COMPLETIONS, body)
        self.first_ns = self.first_ns or self.elapsed_ns()
        with reading(self._server.name):
            choice: Mapping[str, Any] = answer["choices"][0]
            [last] = log_probabilities(choice)
            return last + (_of_prompt(choice, ids[:-1]) if self._whole else 0.0)

    def _body(self, ids: Sequence[int]) -> bytes:
        fields = {
            **self._server.model,
            **self._prompt(list(ids[:-1])),
            "max_tokens": 1,
            "temperature": 0,
            "repetition_penalty": 1,
            "logprobs": 0,
            "allowed_token_ids": [ids[-1]],
        }
        return encoded(fields | {"prompt_logprobs": 0} if self._whole else fields)


def _of_prompt(choice: Mapping[str, Any], last: Sequence[int]) -> float:
    """How likely the last tokens of the prompt are."""
    positions = choice["prompt_logprobs"]
    told = zip(positions[len(positions) - len(last) :], last, strict=True)
    return sum(finite(of_tokens[str(token)]["logprob"]) for of_tokens, token in told)


def _starts(continuations: Sequence[Sequence[int]]) -> tuple[list[Start], list[list[int]]]:
    """Every start of the continuations, of those that begin alike once, and where each
    continuation has its own."""
    starts: list[Start] = []
    known: dict[tuple[int, int], int] = {}  # (start, next token) -> start
    places = []
    for ids in continuations:
        start, mine = -1, []
        for count, token in enumerate(ids, start=1):
            if (start, token) not in known:
                known[start, token] = len(starts)
                starts.append((ids, count))
            start = known[start, token]
            mine.append(start)
        places.append(mine)
    return starts, places
