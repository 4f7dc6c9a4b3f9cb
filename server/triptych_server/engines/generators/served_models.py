"""What servers of language models say that they run."""

import asyncio
from collections.abc import Sequence
from typing import Any

from triptych_server.engines.generators.vllm_endpoints import Endpoints
from triptych_server.errors import Unavailable

ANSWER_S = 2.0


class ServedModels:
    """The models of servers with vLLM's API. `urls` are `http://HOST:PORT` of servers that run the
    same ones."""

    def __init__(self, urls: Sequence[str], api_key: str) -> None:
        self.urls = ", ".join(urls)
        self._endpoints = Endpoints("the models of a server", urls, api_key=api_key)

    async def names(self) -> list[str]:
        """As a server lists them. Raises `Unavailable` if none answers."""
        try:
            async with asyncio.timeout(ANSWER_S):
                [listing] = await self._endpoints.first("/v1/models")
        except TimeoutError:
            raise _silent(f"{self.urls} did not answer within {ANSWER_S:g} s") from None
        names = _names(listing)
        if names is None:
            raise _silent(f"{self.urls} lists its models in no form that vLLM has")
        return names

    async def close(self) -> None:
        """Release the connections."""
        await self._endpoints.close()


def _names(listing: Any) -> list[str] | None:
    try:
        names = [model["id"] for model in listing["data"]]
    except (KeyError, TypeError):
        return None
    return names if all(isinstance(name, str) for name in names) else None


def _silent(message: str) -> Unavailable:
    return Unavailable(message, reason="GENERATOR_NOT_LOADED")
