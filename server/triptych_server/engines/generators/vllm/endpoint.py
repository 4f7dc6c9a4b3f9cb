"""One server: HTTP, and how it fares."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
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
)
from triptych_server.errors import DeadlineExceeded

CONNECT_S = 5.0
# The longest silence, of a queue before the first token too.
READ_S = 120.0
PROBE_S = 5.0
# One that says nothing is tried seldom: it costs a caller all that time.
SILENT_PAUSE_S = 10.0

Chunk = dict[str, Any]

_log = logging.getLogger(__name__)


class Endpoint:
    """A server, asked through `client`. `outstanding` are the requests that it has not answered to
    the end.

    What it answers raises `EndpointError` and `RejectedError`, `DeadlineExceeded` when the caller's
    time is over, and `Unavailable` once the client was closed.
    """

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.url = url.rstrip("/")
        self.outstanding = 0
        self._client = client
        self._paused_until = 0.0
        self._fault = ""
        self._probes: dict[tuple[str, ...], asyncio.Task[Sequence[Any]]] = {}

    @property
    def paused(self) -> bool:
        """It failed a moment ago."""
        return time.monotonic() < self._paused_until

    def pause(self, error: EndpointError) -> str:
        """Send it nothing for a while; returns why."""
        if str(error) != self._fault:
            _log.warning("vLLM at %s: %s", self.url, error)
        self._fault = str(error)
        self._paused_until = time.monotonic() + error.pause_s
        return f"{self.url}: {error}"

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a request as outstanding."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1

    async def answer(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The JSON of a whole answer; None for an empty one."""
        with self._translated():
            response = await self._client.request(
                method, self.url + path, content=body, timeout=_timeouts()
            )
            if response.status_code != HTTPStatus.OK:
                raise error_of(response.status_code, response.content)
            return json.loads(response.content) if response.content else None

    async def chunks(self, path: str, body: bytes) -> AsyncGenerator[Chunk, None]:
        """The chunks of a streamed answer. Closing it ends the request."""
        with self._translated():
            async with self._client.sse(
                self.url + path, method="POST", content=body, timeout=_timeouts()
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

    def probe(self, paths: Sequence[str]) -> asyncio.Task[Sequence[Any]]:
        """Its answers to `paths`, for all that ask for them meanwhile; no caller's deadline ends
        it. A failure is an `EndpointError` that names it, and pauses it."""
        key = tuple(paths)
        probe = self._probes.get(key)
        if probe is None or probe.done():
            probe = asyncio.create_task(self._probe(key), context=Context())
            probe.add_done_callback(_retrieve)
            self._probes[key] = probe
        return probe

    async def end_probes(self) -> None:
        """Take back what was asked, after the client was closed."""
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)

    async def _probe(self, paths: Sequence[str]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(PROBE_S):
                answers = [await self.answer("GET", path) for path in paths]
        except TimeoutError:
            silent = EndpointError(f"it is silent for {PROBE_S:g} s", pause_s=SILENT_PAUSE_S)
            raise EndpointError(self.pause(silent)) from None
        except EndpointError as error:
            raise EndpointError(self.pause(error)) from None
        except RejectedError as error:  # every vLLM answers these: it is none
            raise EndpointError(self.pause(EndpointError(error.message))) from None
        except asyncio.CancelledError:
            self._check_open()  # those that wait for it are not cancelled themselves
            raise
        if self._fault:
            _log.info("vLLM at %s answers again", self.url)
        self._fault, self._paused_until = "", 0.0
        return answers

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
        except (ValueError, RecursionError):
            raise EndpointError("its answer is no JSON") from None

    def _check_open(self) -> None:
        if self._client.is_closed:
            raise stopped()


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


def _code(chunk: Chunk) -> int:
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else HTTPStatus.INTERNAL_SERVER_ERROR
