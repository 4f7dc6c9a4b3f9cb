"""Proposals of chat models: what their server is asked, and what is made of its replies."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from chatting import talker
from proposing import language_of
from remotes import remote
from strangers import Stranger, events, running

from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.generator_proposer import EXAMPLES as MOST_SHOWN
from triptych_server.capabilities.mils.generator_proposer import GeneratorProposer
from triptych_server.capabilities.mils.subjects import propose_about
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.errors import InvalidArgument

CONTEXT = 1_000
CHARACTERS_PER_TOKEN = 4
DRAWN = Generation(Sampling(max_tokens=32, temperature=1.0), flexible=True)
EXAMPLES = [Candidate(f"caption {place}", place / 100, 0) for place in range(30)]


def counted(asked: Any) -> tuple[HTTPStatus, Any]:
    """What a vLLM says of the length of a conversation."""
    characters = sum(len(message["content"]) for message in asked.get("messages", ()))
    return HTTPStatus.OK, {"count": characters // CHARACTERS_PER_TOKEN, "token_strs": []}


def replies(*texts: str, finish: str = "stop") -> bytes:
    """Texts of one request, as vLLM streams them."""
    choices = [
        {
            "index": index,
            "delta": {"content": text},
            "logprobs": {"content": [{"logprob": -1.0}]},
            "finish_reason": finish,
        }
        for index, text in enumerate(texts)
    ]
    return events({"choices": choices, "usage": {"prompt_tokens": 9}}, "[DONE]")


@pytest.fixture
def server() -> Iterator[Stranger]:
    with running() as server:
        model = {"id": "m", "root": "m", "max_model_len": CONTEXT}
        server.answers["/v1/models"] = {"data": [model]}
        server.computed = counted
        yield server


@pytest.fixture
async def chat(server: Stranger) -> AsyncIterator[LanguageModel]:
    async with language_of(await remote(Style.CHAT, server.url)) as language:
        yield language


def asked_for_texts(server: Stranger) -> list[Any]:
    return [asked for asked in server.asked if asked.get("stream")]


async def test_replies_that_are_not_understood_cost_themselves_alone(
    server: Stranger, chat: LanguageModel
) -> None:
    server.stream = replies(
        '{"caption": "a dog"}', "a cat", '{"caption": "a\\ncat"}', '{"caption": "a dog"}'
    )
    proposer = await GeneratorProposer.prepared(chat, DRAWN)
    found = await proposer.propose(EXAMPLES, 4, seed=5, heat=1)
    assert (found.texts, found.unparsed) == (["a dog", "a dog"], 2)
    assert found.usage == Usage(9, 4)
    [asked] = asked_for_texts(server)
    assert asked["n"] == 4
    assert asked["structured_outputs"]["json"]["required"] == ["caption"]
    [message] = asked["messages"]
    assert message["content"].count("caption ") == MOST_SHOWN
    assert "\n0.290 caption 29\n" in message["content"]


async def test_what_was_cut_short_is_not_understood(server: Stranger, chat: LanguageModel) -> None:
    server.stream = replies('{"caption": "a dog"}', finish="length")
    proposer = await GeneratorProposer.prepared(chat, DRAWN)
    found = await proposer.propose(EXAMPLES, 1, seed=5, heat=1)
    assert (found.texts, found.unparsed) == ([], 1)


async def test_the_published_loop_asks_for_one_list(server: Stranger, chat: LanguageModel) -> None:
    server.stream = replies('{"captions": ["a dog", "", "a cat"]}')
    proposer = await GeneratorProposer.prepared(chat, DRAWN, published=True)
    found = await proposer.propose(EXAMPLES, 8, seed=5, heat=1)
    assert (found.texts, found.unparsed) == (["a dog", "a cat"], 1)
    [asked] = asked_for_texts(server)
    assert (asked["n"], asked["max_tokens"]) == (1, 8 * DRAWN.sampling.max_tokens)
    assert asked["structured_outputs"]["json"]["properties"]["captions"]["maxItems"] == 8


async def test_guidance_stands_before_the_examples(server: Stranger, chat: LanguageModel) -> None:
    server.stream = replies('{"caption": "a dog"}')
    proposer = await GeneratorProposer.prepared(chat, DRAWN, guidance="in rhymes", examples=2)
    await proposer.propose(EXAMPLES, 1, seed=5, heat=1)
    [asked] = asked_for_texts(server)
    told = asked["messages"][0]["content"]
    assert told.index("in rhymes") < told.index("caption 28") < told.index("caption 29")
    assert "caption 27" not in told


async def test_guidance_that_leaves_no_room_is_refused(
    server: Stranger, chat: LanguageModel
) -> None:
    with pytest.raises(InvalidArgument, match="too long") as caught:
        await GeneratorProposer.prepared(chat, DRAWN, guidance="word " * CONTEXT)
    assert caught.value.field == "proposal.guidance"
    with pytest.raises(InvalidArgument) as caught:
        await propose_about(chat, DRAWN, ["dog"], 1, seed=0, guidance="word " * CONTEXT)
    assert caught.value.field == "guidance"
    assert not asked_for_texts(server)


async def test_long_examples_give_way_to_guidance(server: Stranger, chat: LanguageModel) -> None:
    server.stream = replies('{"caption": "a dog"}')
    proposer = await GeneratorProposer.prepared(chat, DRAWN, guidance="in rhymes")
    long = [Candidate("word " * 100 + str(place), place / 10, 0) for place in range(10)]
    await proposer.propose(long, 1, seed=5, heat=1)
    [asked] = asked_for_texts(server)
    told = asked["messages"][0]["content"]
    assert "in rhymes" in told
    assert "0.900 word" in told
    assert "0.100 word" not in told
    length = len(told) // CHARACTERS_PER_TOKEN + DRAWN.sampling.max_tokens
    assert CONTEXT - 200 < length <= CONTEXT


async def test_model_with_too_short_a_context_is_named(server: Stranger) -> None:
    model = {"id": "m", "root": "m", "max_model_len": 64}
    server.answers["/v1/models"] = {"data": [model]}
    async with language_of(await remote(Style.CHAT, server.url)) as language:
        with pytest.raises(InvalidArgument) as caught:
            await GeneratorProposer.prepared(language, DRAWN)
        assert caught.value.field == "proposal.model"


async def test_captions_about_a_subject_are_told_apart(
    server: Stranger, chat: LanguageModel
) -> None:
    texts = ["A dog.", "a  DOG.", "two dogs"]
    server.stream = replies(*(json.dumps({"caption": text}) for text in texts), "two dogs")
    found = await propose_about(chat, DRAWN, ["dog"], 4, seed=0, guidance="in rhymes")
    assert (found.texts, found.unparsed) == ([["A dog.", "two dogs"]], 1)
    [asked] = asked_for_texts(server)
    told = asked["messages"][0]["content"]
    assert told.endswith("dog")
    assert "in rhymes" in told


async def test_model_without_structure_is_asked_for_lines(
    language_repository: Path, tmp_path: Path
) -> None:
    generator = await talker(
        language_repository, tmp_path / "talker", pictures=0, context_length=4096
    )
    async with language_of(generator) as language:
        proposer = await GeneratorProposer.prepared(language, DRAWN)
        calls = (proposer.propose(EXAMPLES, 4, seed=seed, heat=1) for seed in (1, 2, 1))
        first, other, second = await asyncio.gather(*calls)
    assert len(first.texts) + first.unparsed == 4
    assert (first.texts, first.usage) == (second.texts, second.usage)
    assert first.usage.prompt_tokens == other.usage.prompt_tokens
