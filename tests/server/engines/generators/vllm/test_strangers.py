"""The remote generator and a server that is no vLLM, or one of a kind that nobody knows."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from continuations import continue_prompt
from remotes import remote

from triptych_server.engines.generators.protocol import ChatPrompt, Message, Sampling, Speaker
from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.engines.generators.vllm.served_models import ServedModels
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

MODELS = {"data": [{"id": "m", "root": "m", "max_model_len": 64}]}
SECRET = "words that no log shows"
PROMPT = ChatPrompt([Message(Speaker.USER, [Text(SECRET)])])


class Stranger(ThreadingHTTPServer):
    """Answers each path as `answers` say, with `status`, as soon as it `may_answer`. Whatever is to
    be computed gets `stream`, or without one an error that repeats the request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = HTTPStatus.OK
        self.answers: dict[str, Any] = {}
        self.stream = b""
        self.was_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.was_asked.set()
        self.server.may_answer.wait()
        self._answer(self.server.status, self.server.answers.get(self.path, {}))

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.server.stream:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(self.server.stream)
            return
        error = {"message": f"cannot compute {asked}"}
        self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": error})

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # the one that asked may be gone
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


@contextmanager
def running() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with running() as server:
        yield server


def events(*chunks: Any) -> bytes:
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


@pytest.mark.parametrize("status", [400, 401, 404, 405, 422, 500, 503])
async def test_a_server_that_refuses_what_every_vllm_answers_is_unavailable(
    stranger: Stranger, status: int
) -> None:
    stranger.status = HTTPStatus(status)
    generator = await remote(Style.CHAT, stranger.url)
    for call in (generator.ready(), continue_prompt(generator, PROMPT, Sampling(max_tokens=1))):
        with pytest.raises(Unavailable, match=stranger.url):
            await call
    assert (await generator.spec()).context_length == 0
    await generator.close()
    servers = ServedModels([stranger.url], "")
    with pytest.raises(Unavailable, match=stranger.url):
        await servers.ask()
    await servers.close()


@pytest.mark.parametrize("models", [[], None, {"data": None}, {"data": ["m"]}, {"data": [{}]}])
async def test_a_list_of_models_in_another_form_is_unavailable(
    stranger: Stranger, models: Any
) -> None:
    stranger.answers["/v1/models"] = models
    generator = await remote(Style.CHAT, stranger.url)
    with pytest.raises(Unavailable, match="in no form that vLLM has"):
        await generator.ready()
    await generator.close()


@pytest.mark.parametrize("content", [b"<html>", b"\xff\xfe", b"[" * 200_000])
async def test_what_is_no_json_is_unavailable(stranger: Stranger, content: bytes) -> None:
    stranger.answers["/health"] = stranger.answers["/v1/models"] = content
    generator = await remote(Style.CHAT, stranger.url)
    with pytest.raises(Unavailable, match="no JSON"):
        await generator.ready()
    await generator.close()
    servers = ServedModels([stranger.url], "")
    with pytest.raises(Unavailable, match="no JSON"):
        await servers.ask()
    await servers.close()


async def test_what_a_server_says_of_its_failure_is_in_no_log(
    stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    stranger.answers["/v1/models"] = MODELS
    generator = await remote(Style.CHAT, stranger.url)
    with caplog.at_level(logging.DEBUG, "triptych_server"), pytest.raises(Unavailable) as caught:
        await continue_prompt(generator, PROMPT, Sampling(max_tokens=1))
    await generator.close()
    assert "it answers 500" in caplog.text
    assert SECRET not in caplog.text + caught.value.message


async def test_a_failure_that_lasts_is_logged_once(
    stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    stranger.status = HTTPStatus.SERVICE_UNAVAILABLE
    generator = await remote(Style.CHAT, stranger.url)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await generator.ready()
    stranger.status, stranger.answers["/v1/models"] = HTTPStatus.OK, MODELS
    with caplog.at_level(logging.INFO, "triptych_server"):
        await generator.ready()
    await generator.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"vLLM at {stranger.url}: it answers 503",
        f"vLLM at {stranger.url} answers again",
    ]


async def test_closing_ends_a_question_whether_it_is_ready(stranger: Stranger) -> None:
    """Whoever asks is not cancelled with the question: the watch of a gateway would end."""
    stranger.may_answer.clear()
    generator = await remote(Style.CHAT, stranger.url)
    asking = asyncio.create_task(generator.ready())
    await asyncio.to_thread(stranger.was_asked.wait)
    await generator.close()
    with pytest.raises(Unavailable, match="stopped"):
        await asking


ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}
TOKEN = {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [1]}}]}
END = {"choices": [], "usage": {"prompt_tokens": 3}}


async def test_an_answer_is_all_of_one_server(stranger: Stranger) -> None:
    with running() as other:
        stranger.stream = events({**ROLE, "id": "broken off"})
        other.stream = events(ROLE, TOKEN, END, "[DONE]")
        endpoints = Endpoints("m", [stranger.url, other.url])
        assert [chunk async for chunk in endpoints.stream("/", b"{}")] == [ROLE, TOKEN, END]
        await endpoints.close()


async def test_an_answer_that_breaks_off_after_tokens_does_not_begin_anew(
    stranger: Stranger,
) -> None:
    with running() as other:
        stranger.stream = events(ROLE, TOKEN)
        other.stream = events(ROLE, TOKEN, END, "[DONE]")
        endpoints = Endpoints("m", [stranger.url, other.url])
        got = []
        with pytest.raises(Unavailable, match="broke off"):
            async for chunk in endpoints.stream("/", b"{}"):
                got.append(chunk)
        assert got == [ROLE, TOKEN]
        await endpoints.close()


async def test_an_answer_without_tokens_is_one(stranger: Stranger) -> None:
    stranger.stream = events(ROLE, END, "[DONE]")
    endpoints = Endpoints("m", [stranger.url])
    assert [chunk async for chunk in endpoints.stream("/", b"{}")] == [ROLE, END]
    await endpoints.close()
