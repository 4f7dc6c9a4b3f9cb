"""The remote generator and a server that is no vLLM, or one of a kind that nobody knows."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import pytest
from continuations import continue_prompt
from remotes import remote
from strangers import MODELS, Stranger, events, running

from triptych_server.engines.generators.protocol import ChatPrompt, Message, Sampling, Speaker
from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.engines.generators.vllm.served_models import ServedModels
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

SECRET = "words that no log shows"
STREAMED = b'{"stream": true}'
PROMPT = ChatPrompt([Message(Speaker.USER, [Text(SECRET)])])


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
        assert [chunk async for chunk in endpoints.stream("/", STREAMED)] == [ROLE, TOKEN, END]
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
            async for chunk in endpoints.stream("/", STREAMED):
                got.append(chunk)
        assert got == [ROLE, TOKEN]
        await endpoints.close()


async def test_an_answer_without_tokens_is_one(stranger: Stranger) -> None:
    stranger.stream = events(ROLE, END, "[DONE]")
    endpoints = Endpoints("m", [stranger.url])
    assert [chunk async for chunk in endpoints.stream("/", STREAMED)] == [ROLE, END]
    await endpoints.close()
