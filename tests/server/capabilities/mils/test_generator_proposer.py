"""Proposals of a language model, on the real decoder."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from proposing import CONTEXT, NotingGenerator, changed, language_of

from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.drawing import GROUP
from triptych_server.capabilities.mils.generator_proposer import HOTTEST, GeneratorProposer
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import FailedPrecondition, InvalidArgument, ResourceExhausted

DRAWN = Generation(Sampling(max_tokens=12, temperature=1.0), flexible=True)
EXAMPLES = [Candidate(f"caption {place}", place / 10, 0) for place in range(9)]


async def proposals(
    language: LanguageModel, count: int, *, seed: int = 0, heat: float = 1.0
) -> Proposals:
    proposer = await GeneratorProposer.prepared(language, DRAWN)
    return await proposer.propose(EXAMPLES, count, seed=seed, heat=heat)


def words(found: Proposals) -> tuple[object, ...]:
    """All but the time that they took."""
    return found.texts, found.unparsed, found.usage


async def test_each_reply_is_a_text_or_counted(writer: LanguageModel) -> None:
    found = await proposals(writer, 40)
    assert len(found.texts) + found.unparsed == 40
    assert found.texts
    assert found.unparsed  # what was cut short, and controls
    assert all(text == " ".join(text.split()) and text.isprintable() for text in found.texts)
    assert found.usage.completion_tokens >= 40
    assert found.times.generation_ns


async def test_the_best_examples_are_shown_worst_first(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    await proposals(writer, 1)
    [asked] = generator.asked
    shown = "\n".join(f"{10 * place} caption {place}" for place in range(3, 9))
    assert asked.text == f"{shown}\n100"
    assert asked.sampling.stop == ["\n"]


async def test_fewer_are_shown_on_demand(writer: LanguageModel, generator: NotingGenerator) -> None:
    proposer = await GeneratorProposer.prepared(writer, DRAWN, examples=2)
    assert proposer.examples == 2
    await proposer.propose(EXAMPLES, 1, seed=0, heat=1)
    assert generator.asked[0].text == "70 caption 7\n80 caption 8\n100"
    more = await GeneratorProposer.prepared(writer, DRAWN, examples=64)
    assert more.examples == 6  # on which it was trained


async def test_the_first_proposals_are_asked_for_without_examples(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    proposer = await GeneratorProposer.prepared(writer, DRAWN)
    await proposer.propose([], 1, seed=0, heat=1)
    assert generator.asked[0].text == "\n100"


async def test_equal_seeds_give_equal_texts_whatever_else_is_computed(
    writer: LanguageModel,
) -> None:
    alone = await proposals(writer, 40, seed=7)
    calls = (proposals(writer, 40, seed=seed) for seed in (7, 8, 7))
    first, other, second = await asyncio.gather(*calls)
    assert words(first) == words(second) == words(alone)
    assert other.texts != alone.texts


async def test_replies_of_a_call_are_drawn_apart(writer: LanguageModel) -> None:
    found = await proposals(writer, 4 * GROUP)
    quarter = len(found.texts) // 4
    assert len({tuple(found.texts[i * quarter : (i + 1) * quarter]) for i in range(4)}) == 4


async def test_replies_share_their_prompt_in_groups_side_by_side(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    await proposals(writer, 2 * GROUP + 3)
    assert [asked.sampling.n for asked in generator.asked] == [GROUP, GROUP, 3]
    assert len({asked.sampling.seed for asked in generator.asked}) == 3
    assert generator.most_running == 3


async def test_groups_are_as_small_as_the_generators_memory(writer_folder: Path) -> None:
    whole = NotingGenerator(writer_folder)
    await whole.load()
    async with language_of(whole) as language:
        wanted = await proposals(language, 1)
    small = NotingGenerator(writer_folder, cache_bytes=2**17)
    await small.load()
    async with language_of(small) as language:
        found = await proposals(language, GROUP)
        assert len(found.texts) + found.unparsed == GROUP
        assert words(await proposals(language, 1)) == words(wanted)
    served = [asked.sampling.n for asked in small.asked[:-1]]
    assert served[0] == GROUP
    assert served.count(min(served)) * min(served) == GROUP


async def test_too_many_examples_for_the_context_lose_the_worst(
    writer_folder: Path, tmp_path: Path
) -> None:
    generator = NotingGenerator(changed(writer_folder, tmp_path / "writer", context_length=96))
    await generator.load()
    long = [replace(each, text=f"{each.text} {'word ' * 3}") for each in EXAMPLES]
    endless = [*EXAMPLES[:-1], Candidate("word " * 200, 0.9, 0)]
    async with language_of(generator) as language:
        proposer = await GeneratorProposer.prepared(language, DRAWN)
        for examples in (long, endless):
            await proposer.propose(examples, 1, seed=0, heat=1)
        shown, nothing = (asked.text.split("\n") for asked in generator.asked)
        assert 1 < len(shown) < 7
        assert shown[-2].startswith("80 caption 8")
        assert nothing == ["", "100"]
    assert all(asked.sampling.max_tokens == 12 for asked in generator.asked)


async def test_heat_raises_the_temperature_to_a_limit(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    for heat in (1.0, 1.4, 100.0):
        await proposals(writer, 1, heat=heat)
    assert [asked.sampling.temperature for asked in generator.asked] == [1.0, 1.4, HOTTEST]


async def test_greedy_texts_stay_greedy(writer: LanguageModel) -> None:
    greedy = Generation(Sampling(max_tokens=12), flexible=True)
    proposer = await GeneratorProposer.prepared(writer, greedy)
    assert proposer.greedy
    assert not (await GeneratorProposer.prepared(writer, DRAWN)).greedy
    found = [await proposer.propose(EXAMPLES, 1, seed=seed, heat=1.8) for seed in (1, 2)]
    assert words(found[0]) == words(found[1])


async def test_the_published_loop_asks_one_after_the_other(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    proposer = await GeneratorProposer.prepared(writer, DRAWN, published=True)
    found = await proposer.propose(EXAMPLES, 5, seed=3, heat=1)
    assert len(found.texts) + found.unparsed == 5
    assert [asked.sampling.n for asked in generator.asked] == [1] * 5
    assert generator.most_running == 1
    assert words(await proposer.propose(EXAMPLES, 5, seed=3, heat=1)) == words(found)


async def test_guidance_is_refused_by_models_that_only_continue_text(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    with pytest.raises(FailedPrecondition, match="takes no guidance") as caught:
        await GeneratorProposer.prepared(writer, DRAWN, guidance="short")
    assert caught.value.field == "proposal.guidance"
    assert not generator.asked


async def test_texts_longer_than_the_context_are_refused(writer: LanguageModel) -> None:
    long = Generation(Sampling(max_tokens=CONTEXT), flexible=False)
    with pytest.raises(InvalidArgument) as caught:
        await GeneratorProposer.prepared(writer, long)
    assert caught.value.field == "proposal.max_tokens"
    await GeneratorProposer.prepared(writer, replace(long, flexible=True))


async def test_cancelling_ends_the_generations(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    endless = Generation(Sampling(max_tokens=400, min_tokens=400, temperature=1), flexible=False)
    proposer = await GeneratorProposer.prepared(writer, endless)
    task = asyncio.create_task(proposer.propose(EXAMPLES, 3 * GROUP, seed=0, heat=1))
    await generator.wrote.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.running == 0
    asked = len(generator.asked)
    generator.check_room()
    await proposals(writer, 1)
    assert len(generator.asked) == asked + 1


async def test_what_has_begun_waits_for_room(writer_folder: Path) -> None:
    """One group fills the memory, one the queue; the others wait."""
    generator = NotingGenerator(writer_folder, queue=1, cache_bytes=2**21)
    await generator.load()
    async with language_of(generator) as language:
        found = await proposals(language, 6 * GROUP)
        assert len(found.texts) + found.unparsed == 6 * GROUP
        assert len(generator.asked) > 6  # some were refused at first


async def test_what_has_not_begun_is_refused_without_room(writer_folder: Path) -> None:
    generator = NotingGenerator(writer_folder, queue=1, cache_bytes=2**19)
    await generator.load()
    async with language_of(generator) as language:
        proposer = await GeneratorProposer.prepared(language, DRAWN)
        busy = asyncio.create_task(proposer.propose(EXAMPLES, 8 * GROUP, seed=0, heat=1))
        with pytest.raises(ResourceExhausted):
            while not busy.done():
                await GeneratorProposer.prepared(language, DRAWN)
                await asyncio.sleep(0)
        await busy
