"""The servers of one model, and which of them gets a request.

A request goes to the server with the least outstanding work. One that fails is left alone for a
while, and its requests move to another as long as nothing of their answer was given away.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import httpx2

from triptych_server.engines.generators.vllm.endpoint import Chunk, Endpoint
from triptych_server.engines.generators.vllm.errors import EndpointError, stopped, unavailable
from triptych_server.engines.generators.vllm.trial import TrialOf, no_trial

KEPT_CONNECTIONS = 64
# Shorter than vLLM keeps one that is idle (5 s): a request on one that it closes just then is lost.
KEPT_S = 3.0


class Endpoints:
    """The servers at `urls`, on the event loop that uses them; errors name the model `name`."""

    def __init__(self, name: str, urls: Sequence[str], *, api_key: str = "") -> None:
        self._name = name
        headers = {"Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx2.AsyncClient(
            headers=headers,
            limits=httpx2.Limits(
                max_connections=None,  # queues bound the requests
                max_keepalive_connections=KEPT_CONNECTIONS,
                keepalive_expiry=KEPT_S,
            ),
            trust_env=False,  # its servers are neighbours, never behind a proxy
        )
        self._endpoints = [Endpoint(url, self._client) for url in urls]

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[Chunk, None]:
        """The chunks of a streamed answer, all of one server.

        It begins anew on another one when a server fails before it gave tokens. Raises
        `Unavailable`, `DeadlineExceeded` and `RejectedError`. Closing it ends the request.
        """
        tried: list[Endpoint] = []
        causes: list[str] = []
        while endpoint := self._least(tried):
            tried.append(endpoint)
            began = False
            held: list[Chunk] = []  # what came before tokens is of no worth if none come
            try:
                with endpoint.working():
                    async with aclosing(endpoint.chunks(path, body)) as chunks:
                        async for chunk in chunks:
                            held.append(chunk)
                            began = began or _has_tokens(chunk)
                            while began and held:
                                yield held.pop(0)
                for chunk in held:
                    yield chunk
                return
            except EndpointError as error:
                causes.append(endpoint.pause(error))
                if began:
                    break
        raise unavailable(self._name, causes or self._faults())

    async def post(self, path: str, body: bytes) -> Any:
        """The JSON of a whole answer. Raises as `stream`."""
        tried: list[Endpoint] = []
        causes: list[str] = []
        while endpoint := self._least(tried):
            tried.append(endpoint)
            try:
                with endpoint.working():
                    return await endpoint.answer("POST", path, body)
            except EndpointError as error:
                causes.append(endpoint.pause(error))
        raise unavailable(self._name, causes or self._faults())

    @property
    def lively(self) -> bool:
        """A server answered a request a moment ago."""
        return any(endpoint.lively for endpoint in self._endpoints)

    async def first(self, *paths: str, trial: TrialOf = no_trial) -> Sequence[Any]:
        """The answers to all of `paths` of the first server that passes its `trial`; every server
        is asked.

        Raises `Unavailable` with the causes of all when none answers. The others' answers are
        awaited in the background: a server that does not answer gets no requests for a while.
        """
        if self._client.is_closed:
            raise stopped()
        causes: list[str] = []
        for probe in asyncio.as_completed([each.probe(paths, trial) for each in self._endpoints]):
            try:
                return await probe
            except EndpointError as error:
                causes.append(str(error))
        raise unavailable(self._name, causes)

    async def close(self) -> None:
        """End all requests and connections."""
        await self._client.aclose()
        for endpoint in self._endpoints:
            await endpoint.end_probes()

    def _least(self, tried: Sequence[Endpoint]) -> Endpoint | None:
        """Which to try next; None when all were tried that may answer."""
        left = [each for each in self._endpoints if each not in tried and not each.barred]
        return min(left, key=lambda each: (each.paused, each.outstanding), default=None)

    def _faults(self) -> Sequence[str]:
        return [endpoint.fault for endpoint in self._endpoints]


def _has_tokens(chunk: Mapping[str, Any]) -> bool:
    return any(choice.get("logprobs") for choice in chunk["choices"])
