"""The remote generator and answers that have the frame of vLLM's, but not what belongs there."""

import resource
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from itertools import repeat
from typing import Any

import pytest
from continuations import continue_prompt
from generators import TinyGenerator
from remotes import remote
from strangers import MODELS, Stranger, events

from triptych_server.engines.generators.protocol import ChatPrompt, Message, Sampling, Speaker
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

CHAT = ChatPrompt([Message(Speaker.USER, [Text("a")])])
PROMPT = [Text("a photo of")]
SAMPLING = Sampling(max_tokens=3)
USAGE = {"prompt_tokens": 3}


def choice(token: int = 65, log_probability: Any = -1.0, **more: Any) -> dict[str, Any]:
    """A text of one token, as `/v1/completions` streams and scores it."""
    logprobs = {"tokens": ["a"], "token_logprobs": [log_probability]}
    told = {"index": 0, "text": "a", "token_ids": [token], "logprobs": logprobs}
    return told | {"prompt_logprobs": [], "finish_reason": "stop"} | more


def said(**more: Any) -> dict[str, Any]:
    """A text of one token, as `/v1/chat/completions` streams it."""
    logprobs = {"content": [{"logprob": -1.0}]}
    told = {"index": 0, "delta": {"content": "a"}, "logprobs": logprobs, "finish_reason": "stop"}
    return told | more


@pytest.fixture
def vllm_like(stranger: Stranger) -> Stranger:
    stranger.answers["/v1/models"] = MODELS
    stranger.computed = lambda _: (HTTPStatus.OK, {"choices": [choice()]})
    return stranger


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param({"choices": [5]}, id="a-choice-is-a-number"),
        pytest.param({"choices": None}, id="choices-are-null"),
        pytest.param({"choices": [choice(index=7)]}, id="a-text-too-many"),
        pytest.param({"choices": [choice(index=-1)]}, id="a-text-before-the-first"),
        pytest.param({"choices": [choice(index=[])]}, id="an-index-that-is-none"),
        pytest.param({"choices": [choice(token=-3)]}, id="a-token-below-zero"),
        pytest.param({"choices": [choice(token=2**70)]}, id="a-token-beyond-all"),
        pytest.param({"choices": [choice(log_probability=float("nan"))]}, id="nan"),
        pytest.param({"choices": [choice(log_probability=float("-inf"))]}, id="infinity"),
        pytest.param({"choices": [choice(log_probability=None)]}, id="null"),
        pytest.param({"choices": [choice(logprobs=None)]}, id="no-log-probability"),
        pytest.param({"choices": [choice(logprobs=[-1.0])]}, id="log-probabilities-elsewhere"),
    ],
)
async def test_tokens_that_none_can_be_are_unavailable(
    vllm_like: Stranger, tiny: TinyGenerator, chunk: Any
) -> None:
    vllm_like.stream = events(chunk, "[DONE]")
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    with pytest.raises(Unavailable) as caught:
        await continue_prompt(generator, PROMPT, SAMPLING)
    assert caught.value.retry_after
    vllm_like.stream = events({"choices": [choice()]}, "[DONE]")
    [text] = await continue_prompt(generator, PROMPT, SAMPLING)
    assert (text.tokens, text.log_probability) == (1, -1.0)
    await generator.close()


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param({"choices": [said()]}, id="no-usage"),
        pytest.param({"choices": [said()], "usage": {"prompt_tokens": "x"}}, id="usage-of-text"),
        pytest.param({"choices": [said(delta=None)], "usage": USAGE}, id="delta-is-null"),
        pytest.param({"choices": [said(delta={"content": 5})], "usage": USAGE}, id="no-text"),
        pytest.param({"choices": [said(logprobs={"content": [5]})], "usage": USAGE}, id="logprobs"),
    ],
)
async def test_answers_that_none_can_be_are_unavailable(vllm_like: Stranger, chunk: Any) -> None:
    vllm_like.stream = events(chunk, "[DONE]")
    generator = await remote(Style.CHAT, vllm_like.url)
    with pytest.raises(Unavailable, match="does not answer as vLLM does"):
        await continue_prompt(generator, CHAT, SAMPLING)
    vllm_like.stream = events({"choices": [said()], "usage": USAGE}, "[DONE]")
    assert [text.text for text in await continue_prompt(generator, CHAT, SAMPLING)] == ["a"]
    await generator.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([], id="list"),
        pytest.param(None, id="null"),
        pytest.param({"choices": []}, id="no-choices"),
        pytest.param({"choices": [choice(logprobs={})]}, id="no-log-probability"),
        pytest.param({"choices": [choice(prompt_logprobs=None)]}, id="none-of-the-prompt"),
        pytest.param({"choices": [choice(log_probability=float("nan"))]}, id="nan"),
        pytest.param(b'{"choices": [{"logprobs": {"token_logprobs": [-1e999]}}]}', id="infinity"),
    ],
)
async def test_scores_that_are_none_are_unavailable(
    vllm_like: Stranger, tiny: TinyGenerator, answer: Any
) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    await generator.ready()
    vllm_like.computed = lambda _: (HTTPStatus.OK, answer)
    with pytest.raises(Unavailable) as caught:
        await generator.score(PROMPT, [" cat"])
    assert caught.value.retry_after
    await generator.close()


def endless() -> Iterator[bytes]:
    return repeat(b" " * 2**16)


def endless_with(status: HTTPStatus, _: Any) -> tuple[HTTPStatus, Any]:
    return status, endless()


async def test_an_answer_without_end_is_cut(vllm_like: Stranger, tiny: TinyGenerator) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    await generator.ready()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for status in (HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR):
        vllm_like.computed = partial(endless_with, status)
        for call in (
            generator.score(PROMPT, [" cat"]),
            continue_prompt(generator, PROMPT, SAMPLING),
        ):
            with pytest.raises(Unavailable):
                await call
    vllm_like.answers["/v1/models"] = endless()
    with pytest.raises(Unavailable, match="more than"):
        await generator.ready()
    await generator.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 2**10  # KiB
