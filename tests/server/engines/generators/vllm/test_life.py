"""What the remote generator takes for a server that lives."""

import asyncio

import pytest
from continuations import continue_prompt
from remotes import remote
from strangers import MODELS, Stranger, events

from triptych_server.engines.generators.protocol import ChatPrompt, Message, Sampling, Speaker
from triptych_server.engines.generators.vllm import endpoint, server
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

PROMPT = ChatPrompt([Message(Speaker.USER, [Text("a")])])
SAMPLING = Sampling(max_tokens=1)
TEXT = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}


@pytest.fixture
def vllm_like(stranger: Stranger) -> Stranger:
    stranger.answers["/v1/models"] = MODELS
    stranger.stream = events({"choices": [TEXT], "usage": {"prompt_tokens": 1}}, "[DONE]")
    return stranger


async def test_one_that_answers_is_ready_while_it_is_too_busy_to_say_so(
    vllm_like: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LIFE_S", 60.0)
    generator = await remote(Style.CHAT, vllm_like.url)
    await generator.ready()
    await continue_prompt(generator, PROMPT, SAMPLING)
    vllm_like.may_answer.clear()
    monkeypatch.setattr(endpoint, "PROBE_S", 0.05)
    monkeypatch.setattr(server, "BUSY_S", 0.2)
    await generator.ready()
    await continue_prompt(generator, PROMPT, SAMPLING)
    monkeypatch.setattr(endpoint, "LIFE_S", 0.0)
    with pytest.raises(Unavailable, match="silent"):
        await generator.ready()
    await generator.close()


async def test_one_that_is_gone_is_not_ready_though_it_answered_a_moment_ago(
    vllm_like: Stranger,
) -> None:
    generator = await remote(Style.CHAT, vllm_like.url)
    await continue_prompt(generator, PROMPT, SAMPLING)
    vllm_like.server_close()
    with pytest.raises(Unavailable):
        await generator.ready()
    await generator.close()


async def test_one_that_is_known_to_be_silent_gets_no_calls_until_it_answers(
    vllm_like: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = await remote(Style.CHAT, vllm_like.url)
    await generator.ready()
    vllm_like.may_answer.clear()
    monkeypatch.setattr(endpoint, "PROBE_S", 0.05)
    with pytest.raises(Unavailable, match="silent"):
        await generator.ready()
    for call in (continue_prompt(generator, PROMPT, SAMPLING), generator.count(PROMPT)):
        with pytest.raises(Unavailable, match=f"{vllm_like.url}.*silent") as caught:
            await call
        assert caught.value.retry_after
    assert not vllm_like.asked
    vllm_like.may_answer.set()
    monkeypatch.setattr(endpoint, "PROBE_S", 60.0)
    await asyncio.wait_for(generator.ready(), 60)
    assert [text.text for text in await continue_prompt(generator, PROMPT, SAMPLING)] == ["a"]
    await generator.close()
