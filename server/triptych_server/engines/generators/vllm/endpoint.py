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
from triptych_server.engines.generators.vllm.trial import (
    AGAIN_S,
    TRIAL_S,
    Trial,
    TrialOf,
    Verdict,
)
from triptych_server.errors import DeadlineExceeded

CONNECT_S = 5.0
# The longest silence, of a queue before the first token too.
READ_S = 120.0
PROBE_S = 5.0
# One that says nothing is tried seldom: it costs a caller all that time.
SILENT_PAUSE_S = 10.0
# A part of an answer that is so young tells that a server lives, which may be too busy to say so.
LIFE_S = 3.0
# Bytes of an answer to GET, and to POST: the probabilities of a long prompt.
LARGEST_DESCRIPTION, LARGEST_ANSWER = 4 * 2**20, 32 * 2**20
_LARGE = 2**20  # bytes that take a while to read

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
        self._barred = False
        self._fault = ""
        self._heard = -LIFE_S
        self._verdict: Verdict | None = None
        self._probes: dict[tuple[str, ...], asyncio.Task[Sequence[Any]]] = {}

    @property
    def paused(self) -> bool:
        """It failed a moment ago."""
        return time.monotonic() < self._paused_until

    @property
    def barred(self) -> bool:
        """It would answer nothing that is asked of it now."""
        return self._barred and self.paused

    @property
    def fault(self) -> str:
        """Why it was paused."""
        return f"{self.url}: {self._fault}"

    @property
    def lively(self) -> bool:
        """It answered a request, in part at least, a moment ago."""
        return time.monotonic() - self._heard < LIFE_S

    def pause(self, error: EndpointError) -> str:
        """Send it nothing for a while; returns why."""
        if str(error) != self._fault:
            _log.warning("vLLM at %s: %s", self.url, error)
        self._fault, self._barred = str(error), error.barred
        self._paused_until = time.monotonic() + error.pause_s
        if not (self._verdict and error is self._verdict.error):
            self._verdict = None  # what comes back may be another
        return self.fault

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
            async with self._client.stream(
                method, self.url + path, content=body, timeout=_timeouts()
            ) as response:
                longest = LARGEST_ANSWER if body else LARGEST_DESCRIPTION
                content = await _whole(response, longest)
            if response.status_code != HTTPStatus.OK:
                raise error_of(response.status_code, content)
            if body:
                self._heard = time.monotonic()
            if len(content) > _LARGE:
                return await asyncio.to_thread(_json, content)
            return _json(content) if content else None

    async def chunks(self, path: str, body: bytes) -> AsyncGenerator[Chunk, None]:
        """The chunks of a streamed answer. Closing it ends the request."""
        with self._translated():
            async with self._client.sse(
                self.url + path, method="POST", content=body, timeout=_timeouts()
            ) as events:
                if events.response.status_code != HTTPStatus.OK:
                    content = await _whole(events.response, LARGEST_DESCRIPTION)
                    raise error_of(events.response.status_code, content)
                async for event in events:
                    if event.data == "[DONE]":
                        return
                    chunk = _json(event.data)
                    if isinstance(chunk, dict) and "error" in chunk:
                        raise error_of(_code(chunk), event.data)
                    _check_choices(chunk)
                    self._heard = time.monotonic()
                    yield chunk
            raise EndpointError("its answer broke off")

    def probe(self, paths: Sequence[str], trial: TrialOf) -> asyncio.Task[Sequence[Any]]:
        """Its answers to `paths`, for all that ask for them meanwhile; no caller's deadline ends
        it. They make the `trial` known that it has to pass, too. A failure is an `EndpointError`
        that names it, and pauses it."""
        key = tuple(paths)
        probe = self._probes.get(key)
        if probe is None or probe.done():
            probe = asyncio.create_task(self._probe(key, trial), context=Context())
            probe.add_done_callback(_retrieve)
            self._probes[key] = probe
        return probe

    async def end_probes(self) -> None:
        """Take back what was asked, after the client was closed."""
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)

    async def _probe(self, paths: Sequence[str], trial: TrialOf) -> Sequence[Any]:
        try:
            answers = await self._described(paths)
            if asked := trial(answers):
                await self._pass(asked)
        except EndpointError as error:
            raise EndpointError(self.pause(error)) from None
        except RejectedError as error:  # every vLLM answers these: it is none
            raise EndpointError(self.pause(EndpointError(error.message))) from None
        except asyncio.CancelledError:
            self._check_open()  # those that wait for it are not cancelled themselves
            raise
        if self._fault:
            _log.info("vLLM at %s answers again", self.url)
        self._fault, self._barred, self._paused_until = "", False, 0.0
        return answers

    async def _described(self, paths: Sequence[str]) -> Sequence[Any]:
        while True:
            try:
                async with asyncio.timeout(PROBE_S):
                    return [await self.answer("GET", path) for path in paths]
            except TimeoutError:
                if not self.lively:
                    message = f"it is silent for {PROBE_S:g} s"
                    raise EndpointError(message, pause_s=SILENT_PAUSE_S, barred=True) from None

    async def _pass(self, trial: Trial) -> None:
        """Make a trial, unless its outcome is known and holds."""
        verdict = self._verdict
        if verdict is None or not verdict.holds_for(trial):
            verdict = self._verdict = await self._tried(trial)
        if verdict.error:
            raise verdict.error.with_traceback(None)

    async def _tried(self, trial: Trial) -> Verdict:
        try:
            async with asyncio.timeout(TRIAL_S):
                _check_choices(await self.answer("POST", trial.path, trial.body))
        except TimeoutError:  # a queue is no refusal
            return Verdict(trial, None, time.monotonic() + AGAIN_S)
        except RejectedError as error:
            message = f"it refuses {trial.what}: {error.message} {trial.remedy}"
            # Longer than until it is tried again, so that nothing is sent to it in between.
            refusal = EndpointError(message, pause_s=2 * AGAIN_S, barred=True)
            return Verdict(trial, refusal, time.monotonic() + AGAIN_S)
        return Verdict(trial, None)

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


async def _whole(response: httpx2.Response, longest: int) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > longest:
            raise EndpointError(f"it answers with more than {longest} bytes")
    return bytes(content)


def _json(content: bytes | str) -> Any:
    return json.loads(content, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check_choices(answer: Any) -> None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
        raise EndpointError("its answer is none of vLLM's")


def _code(chunk: Chunk) -> int:
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else HTTPStatus.INTERNAL_SERVER_ERROR
