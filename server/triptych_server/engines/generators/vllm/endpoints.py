"""The servers of one model: HTTP, and which of them gets a request.

A request goes to the server with the least outstanding work. One that fails is left alone for a
while, and its requests move to another as long as nothing of their answer was given away.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from contextvars import Context
from http import HTTPStatus
from typing import Any

import httpx2

from triptych_server import deadline
from triptych_server.engines.generators.vllm.errors import (
    EndpointError,
    RejectedError,
    error_of,
    stopped,
    unavailable,
)
from triptych_server.errors import DeadlineExceeded

CONNECT_S = 5.0
# The longest silence, of a queue before the first token too.
READ_S = 120.0
PROBE_S = 5.0
# One that says nothing is tried seldom: it costs a caller all that time.
SILENT_PAUSE_S = 10.0
KEPT_CONNECTIONS = 64
# Shorter than vLLM keeps one that is idle (5 s): a request on one that it closes just then is lost.
KEPT_S = 3.0

Chunk = dict[str, Any]

_log = logging.getLogger(__name__)


class Endpoint:
    """One server. `outstanding` are the requests that it has not answered to the end."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.outstanding = 0
        self._paused_until = 0.0
        self._fault = ""

    @property
    def paused(self) -> bool:
        """It failed a moment ago."""
        return time.monotonic() < self._paused_until

    def pause(self, error: EndpointError) -> None:
        """Send it nothing for a while."""
        if str(error) != self._fault:
            _log.warning("vLLM at %s: %s", self.url, error)
        self._fault = str(error)
        self._paused_until = time.monotonic() + error.pause_s

    def resume(self) -> None:
        """It answered."""
        if self._fault:
            _log.info("vLLM at %s answers again", self.url)
        self._fault = ""
        self._paused_until = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a request as outstanding."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1


class Endpoints:
    """The servers at `urls`, on the event loop that uses them; errors name the model `name`."""

    def __init__(self, name: str, urls: Sequence[str], *, api_key: str = "") -> None:
        self._name = name
        self._endpoints = [Endpoint(url) for url in urls]
        self._closed = False
        self._probes: dict[tuple[str, ...], asyncio.Task[Sequence[Any]]] = {}
        headers = {"Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx2.AsyncClient(
            headers=headers,
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=KEPT_CONNECTIONS,
                keepalive_expiry=KEPT_S,
            ),
            trust_env=False,  # its servers are neighbours, never behind a proxy
        )

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[Chunk, None]:
        """The chunks of a streamed answer.

        It begins anew on another server when one fails before it gave tokens. Raises `Unavailable`,
        `DeadlineExceeded` and `RejectedError`. Closing it ends the request.
        """
        tried: list[Endpoint] = []
        causes: list[str] = []
        while endpoint := self._least(tried):
            tried.append(endpoint)
            began = False
            try:
                with endpoint.working():
                    async with aclosing(self._chunks(endpoint, path, body)) as chunks:
                        async for chunk in chunks:
                            began = began or _has_tokens(chunk)
                            yield chunk
                return
            except EndpointError as error:
                self._failed(endpoint, error, causes)
                if began:
                    break
        raise unavailable(self._name, causes)

    async def post(self, path: str, body: bytes) -> Any:
        """The JSON of a whole answer. Raises as `stream`."""
        tried: list[Endpoint] = []
        causes: list[str] = []
        while endpoint := self._least(tried):
            tried.append(endpoint)
            try:
                with endpoint.working():
                    return await self._answer(endpoint, "POST", path, body)
            except EndpointError as error:
                self._failed(endpoint, error, causes)
        raise unavailable(self._name, causes)

    async def first(self, *paths: str) -> Sequence[Any]:
        """The answers of the first server to all of `paths`; every server is asked.

        Raises `Unavailable` with the causes of all when none answers. The others' answers are
        awaited in the background: a server that does not answer gets no requests for a while.
        """
        self._check_open()
        causes: list[str] = []
        for probe in asyncio.as_completed([self._probe(each, paths) for each in self._endpoints]):
            try:
                return await probe
            except EndpointError as error:
                causes.append(str(error))
        raise unavailable(self._name, causes)

    async def close(self) -> None:
        """End all requests and connections."""
        self._closed = True
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        await self._client.aclose()

    def _probe(self, endpoint: Endpoint, paths: Sequence[str]) -> asyncio.Task[Sequence[Any]]:
        """What a server answers, to all that ask for it meanwhile; no caller's deadline ends it."""
        key = (endpoint.url, *paths)
        probe = self._probes.get(key)
        if probe is None or probe.done():
            answers = self._probed(endpoint, paths)
            probe = self._probes[key] = asyncio.create_task(answers, context=Context())
            probe.add_done_callback(_retrieve)
        return probe

    async def _probed(self, endpoint: Endpoint, paths: Sequence[str]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(PROBE_S):
                answers = [await self._answer(endpoint, "GET", path, None) for path in paths]
        except TimeoutError:
            silent = EndpointError(f"it is silent for {PROBE_S:g} s", pause_s=SILENT_PAUSE_S)
            raise _paused(endpoint, silent) from None
        except EndpointError as error:
            raise _paused(endpoint, error) from None
        except RejectedError as error:  # whatever it is, it is no vLLM
            raise _paused(endpoint, EndpointError(error.message)) from None
        except asyncio.CancelledError:
            self._check_open()  # those that wait for it are not cancelled themselves
            raise
        endpoint.resume()
        return answers

    async def _answer(self, endpoint: Endpoint, method: str, path: str, body: bytes | None) -> Any:
        with self._translated():
            response = await self._client.request(
                method, endpoint.url + path, content=body, timeout=_timeouts()
            )
            if response.status_code != HTTPStatus.OK:
                raise error_of(response.status_code, response.content)
            return json.loads(response.content) if response.content else None

    async def _chunks(
        self, endpoint: Endpoint, path: str, body: bytes
    ) -> AsyncGenerator[Chunk, None]:
        with self._translated():
            async with self._client.sse(
                endpoint.url + path, method="POST", content=body, timeout=_timeouts()
            ) as events:
                if events.response.status_code != HTTPStatus.OK:
                    await events.response.aread()
                    raise error_of(events.response.status_code, events.response.content)
                async for event in events:
                    if event.data == "[DONE]":
                        return
                    chunk = json.loads(event.data)
                    if not isinstance(chunk, dict) or not chunk.keys() & {"choices", "error"}:
                        raise EndpointError("its answer is none of vLLM's")
                    if "error" in chunk:
                        raise error_of(_code(chunk), event.data)
                    yield chunk
            raise EndpointError("its answer broke off")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        self._check_open()
        _check_deadline()
        try:
            yield
        except httpx2.TimeoutException:
            _check_deadline()
            raise EndpointError("it is silent", pause_s=SILENT_PAUSE_S) from None
        except (httpx2.RequestError, httpx2.StreamError) as error:
            self._check_open()
            raise EndpointError(str(error) or type(error).__name__) from None
        except ValueError:
            raise EndpointError("its answer is no JSON") from None

    def _failed(self, endpoint: Endpoint, error: EndpointError, causes: list[str]) -> None:
        endpoint.pause(error)
        causes.append(f"{endpoint.url}: {error}")

    def _least(self, tried: Sequence[Endpoint]) -> Endpoint | None:
        """Which to try next; None when all were tried."""
        left = [endpoint for endpoint in self._endpoints if endpoint not in tried]
        return min(left, key=lambda each: (each.paused, each.outstanding), default=None)

    def _check_open(self) -> None:
        if self._closed:
            raise stopped()


def _paused(endpoint: Endpoint, error: EndpointError) -> EndpointError:
    """Send it nothing for a while; the error of who asked."""
    endpoint.pause(error)
    return EndpointError(f"{endpoint.url}: {error}")


def _retrieve(probe: asyncio.Task[Any]) -> None:
    """Look at the outcome of a probe that nobody may wait for, so that it is not logged as lost."""
    if not probe.cancelled():
        probe.exception()


def _check_deadline() -> None:
    left = deadline.remaining()
    if left is not None and left <= 0:
        raise DeadlineExceeded


def _timeouts() -> httpx2.Timeout:
    left = deadline.remaining()
    longest = READ_S if left is None else max(0.001, min(READ_S, left))
    return httpx2.Timeout(longest, connect=min(CONNECT_S, longest), pool=None)


def _has_tokens(chunk: Mapping[str, Any]) -> bool:
    return any(choice.get("logprobs") for choice in chunk["choices"])


def _code(chunk: Chunk) -> int:
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else HTTPStatus.INTERNAL_SERVER_ERROR
