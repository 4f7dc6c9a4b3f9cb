"""How likely texts are that are given.

vLLM tells the probability of every token of a prompt that was sent as ids. Of embedded positions it
tells none; there each token of a text is asked for by itself, after all before it, with all others
forbidden (teacher forcing). vLLM computes what these requests share once.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from triptych_server.engines.generators.protocol import Cost, Scores
from triptych_server.engines.generators.vllm.calls import COMPLETIONS, encoded
from triptych_server.engines.generators.vllm.server import Server

# Requests of one call that are under way at once.
CONCURRENT = 64

T = TypeVar("T")

# The fields of a request for the prompt with more tokens after it.
MakePrompt = Callable[[list[int]], Mapping[str, Any]]


class Scorer:
    """Scores the continuations of one prompt."""

    def __init__(self, server: Server, prompt: MakePrompt) -> None:
        self._server = server
        self._prompt = prompt
        self._turns = asyncio.Semaphore(CONCURRENT)
        self._started_ns = time.monotonic_ns()
        self._first_ns = 0

    async def scores(
        self, continuations: Sequence[Sequence[int]], *, prompt_tokens: int, embedded: bool
    ) -> Scores:
        """Of the token ids of each continuation, after a prompt of so many tokens."""
        if embedded:
            log_probabilities = await self._token_by_token(continuations)
        else:
            log_probabilities = await self._at_once(continuations)
        cost = Cost(
            prompt_tokens=prompt_tokens,
            queue_ns=0,
            first_token_ns=self._first_ns,
            generation_ns=time.monotonic_ns() - self._started_ns,
            batch_size=0,
        )
        return Scores(log_probabilities, [len(ids) for ids in continuations], cost)

    async def _at_once(self, continuations: Sequence[Sequence[int]]) -> list[float]:
        """One request a continuation: all but its last token are the end of the prompt."""
        answers = await _together(self._ask(ids, whole=True) for ids in continuations)
        scores = []
        for ids, choice in zip(continuations, answers, strict=True):
            positions = choice["prompt_logprobs"]
            before = positions[len(positions) - len(ids) + 1 :]
            told = [of[str(token)]["logprob"] for of, token in zip(before, ids, strict=False)]
            scores.append(sum(told) + _chosen(choice))
        return scores

    async def _token_by_token(self, continuations: Sequence[Sequence[int]]) -> list[float]:
        """One request a token; continuations share those that begin alike."""
        starts = {tuple(ids[: end + 1]) for ids in continuations for end in range(len(ids))}
        asked = sorted(starts, key=len)
        answers = await _together(self._ask(ids, whole=False) for ids in asked)
        of_start = dict(zip(asked, map(_chosen, answers), strict=True))
        return [
            sum(of_start[tuple(ids[: end + 1])] for end in range(len(ids))) for ids in continuations
        ]

    async def _ask(self, ids: Sequence[int], *, whole: bool) -> Mapping[str, Any]:
        """The choice of the last of `ids`, and, if `whole`, how likely those before it are."""
        async with self._turns:
            body = await asyncio.to_thread(self._body, ids, whole)
            answer = await self._server.endpoints.post(COMPLETIONS, body)
        self._first_ns = self._first_ns or time.monotonic_ns() - self._started_ns
        choice: Mapping[str, Any] = answer["choices"][0]
        return choice

    def _body(self, ids: Sequence[int], whole: bool) -> bytes:
        fields = {
            **self._server.model,
            **self._prompt(list(ids[:-1])),
            "max_tokens": 1,
            "temperature": 0,
            "repetition_penalty": 1,
            "logprobs": 0,
            "allowed_token_ids": [ids[-1]],
        }
        return encoded(fields | {"prompt_logprobs": 0} if whole else fields)


async def _together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all calls; when one fails, the others are cancelled and its error raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _chosen(choice: Mapping[str, Any]) -> float:
    [log_probability] = choice["logprobs"]["token_logprobs"]
    return float(log_probability)
