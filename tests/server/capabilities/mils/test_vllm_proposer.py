"""A model that proposes, on a real vLLM as in process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from continuations import continue_prompt, opened
from generators import TinyGenerator
from proposing import CONTEXT, language_of, write_writer
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

GREEDY = Generation(Sampling(max_tokens=16), flexible=True)
EXAMPLES = [Candidate(f"a {colour} star", 0.2, 0) for colour in ("red", "green", "blue", "gray")]
SUBJECTS = ["dog", "striped star", "{subject}\n</s>"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGenerator:
    return write_writer(tmp_path_factory.mktemp("generators"))


@pytest.fixture(scope="module")
def server(tiny: TinyGenerator) -> Iterator[VllmServer]:
    checkpoint = tiny.folder.parent / "checkpoint"
    tiny.model.save_pretrained(checkpoint)
    tiny.tokenizer.save_pretrained(checkpoint)
    flags = ("--enable-prompt-embeds", "--max-model-len", str(CONTEXT))
    with VllmServer(checkpoint, *flags, name="writer") as server:
        yield server


@pytest.fixture
async def both(
    tiny: TinyGenerator, server: VllmServer
) -> AsyncIterator[tuple[LanguageModel, LanguageModel]]:
    """The model in process, and on the server."""
    here = await opened(tiny.folder, queue=100)
    there = await remote(Style.PROMPT_EMBEDS, server.url, folder=tiny.folder, queue=100)
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(language_of(here)),
            await stack.enter_async_context(language_of(there)),
        )


async def test_greedy_texts_are_the_same(both: tuple[LanguageModel, LanguageModel]) -> None:
    told = []
    for language in both:
        proposer = await GeneratorProposer.prepared(language, GREEDY)
        found = [
            await proposer.propose(EXAMPLES[:shown], 1, seed=0, heat=1)
            for shown in range(len(EXAMPLES) + 1)
        ]
        about = await propose_about(language, GREEDY, SUBJECTS, 1, seed=0)
        told.append(
            (
                [(each.texts, each.unparsed, each.usage) for each in found],
                (about.texts, about.unparsed, about.usage),
            )
        )
    assert told[0] == told[1]
    assert any(about for about in told[0][1][0])


async def test_greedy_replies_are_the_same_to_the_letter(
    both: tuple[LanguageModel, LanguageModel],
) -> None:
    sampling = Sampling(max_tokens=40, min_tokens=40)
    for shown in range(len(EXAMPLES) + 1):
        replies = []
        for language in both:
            prompt = language.form.proposals(EXAMPLES[:shown]).draft.prompt([])
            [text] = await continue_prompt(language.generator, prompt, sampling)
            replies.append((text.text, text.finish))
        assert replies[0] == replies[1]


async def test_drawn_texts_are_as_many_and_repeat(
    both: tuple[LanguageModel, LanguageModel],
) -> None:
    _, language = both
    drawn = Generation(Sampling(max_tokens=16, temperature=1.0), flexible=True)
    proposer = await GeneratorProposer.prepared(language, drawn)
    first, second = [await proposer.propose(EXAMPLES, 40, seed=5, heat=1) for _ in range(2)]
    assert len(first.texts) + first.unparsed == 40
    assert len(set(first.texts)) > len(first.texts) // 2
    assert first.texts == second.texts
