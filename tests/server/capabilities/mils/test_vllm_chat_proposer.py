"""Proposals of a chat model on a real vLLM, which holds its replies to their form."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from generators import tiny_language_model, tiny_tokenizer
from proposing import language_of
from remotes import remote
from vllmserver import VllmServer

from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.generator_proposer import GeneratorProposer
from triptych_server.capabilities.mils.subjects import propose_about
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.vllm.entry import Style

pytestmark = pytest.mark.engines

CONTEXT = 2048
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)
DRAWN = Generation(Sampling(max_tokens=200, temperature=1.0), flexible=True)
EXAMPLES = [Candidate(f"a {colour} star", 0.2, 0) for colour in ("red", "green", "blue", "gray")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    checkpoint: Path = tmp_path_factory.mktemp("checkpoint")
    model = tiny_language_model(max_position_embeddings=CONTEXT)
    model.save_pretrained(checkpoint)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(checkpoint)
    with VllmServer(checkpoint, "--max-model-len", str(CONTEXT), name="chat") as server:
        yield server


@pytest.fixture
async def chat(server: VllmServer) -> AsyncIterator[LanguageModel]:
    async with language_of(await remote(Style.CHAT, server.url, queue=100)) as language:
        yield language


async def test_replies_are_captions_where_they_end(chat: LanguageModel) -> None:
    proposer = await GeneratorProposer.prepared(chat, DRAWN, guidance="in rhymes")
    first, second = [await proposer.propose(EXAMPLES, 40, seed=5, heat=1) for _ in range(2)]
    assert len(first.texts) + first.unparsed == 40
    assert first.texts
    assert first.texts == second.texts


async def test_captions_about_a_subject_are_replies_as_well(chat: LanguageModel) -> None:
    found = await propose_about(chat, DRAWN, ["dog"], 64, seed=5)
    [texts] = found.texts
    assert texts
    assert len(texts) + found.unparsed <= 64


async def test_a_list_is_one_reply(chat: LanguageModel) -> None:
    proposer = await GeneratorProposer.prepared(chat, DRAWN, published=True)
    found = await proposer.propose(EXAMPLES, 4, seed=5, heat=1)
    assert 1 <= len(found.texts) + found.unparsed <= 4
    assert found.usage.completion_tokens <= 4 * DRAWN.sampling.max_tokens
