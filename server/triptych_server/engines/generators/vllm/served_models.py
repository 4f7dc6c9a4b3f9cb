"""What servers of language models say that they run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.model_list import MODELS, read_list
from triptych_server.errors import Unavailable

ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of models; `complete` when every server has answered."""

    names: Sequence[str]
    complete: bool


class ServedModels:
    """The models of servers with vLLM's API. `urls` are `http://HOST:PORT` of each."""

    def __init__(self, urls: Sequence[str], api_key: str) -> None:
        self._servers = {url: Endpoints("generator", [url], api_key=api_key) for url in urls}

    def __str__(self) -> str:
        return ", ".join(self._servers)

    async def ask(self) -> Listing:
        """What the servers list, in their order. Raises `Unavailable` if none answers."""
        answers = await asyncio.gather(*map(self._names, self._servers), return_exceptions=True)
        told: dict[str, None] = {}
        faults: list[Unavailable] = []
        for answer in answers:
            if isinstance(answer, Unavailable):
                faults.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                told.update(dict.fromkeys(answer))
        if len(faults) == len(answers):
            raise faults[0]
        return Listing(list(told), complete=not faults)

    async def close(self) -> None:
        """Release the connections."""
        for endpoints in self._servers.values():
            await endpoints.close()

    async def _names(self, url: str) -> list[str]:
        try:
            async with asyncio.timeout(ANSWER_S):
                [answer] = await self._servers[url].first(MODELS)
        except TimeoutError:
            raise _silent(f"{url} did not answer within {ANSWER_S:g} s") from None
        try:
            return [model.name for model in read_list(answer)]
        except ValueError as error:
            raise _silent(f"{url}: {error}") from None


def _silent(message: str) -> Unavailable:
    return Unavailable(message, reason="GENERATOR_NOT_LOADED")
