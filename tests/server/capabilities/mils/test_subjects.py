"""Captions about subjects, written by the real decoder."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from proposing import CONTEXT, NotingGenerator, changed, language_of

from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.subjects import SIDE_BY_SIDE, About, propose_about
from triptych_server.capabilities.mils.texts import normalised
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from triptych_server.media.content import Text

DRAWN = Generation(Sampling(max_tokens=12, temperature=1.0), flexible=True)
# Much longer than a test looks on.
LONG = ([Text("a")], Sampling(max_tokens=480, min_tokens=480))
ENDLESS = Generation(Sampling(max_tokens=400, min_tokens=400, temperature=1), flexible=False)


def words(found: About) -> tuple[object, ...]:
    """All but the time that they took."""
    return found.texts, found.unparsed, found.usage


async def test_captions_of_a_subject_begin_with_it_and_differ(writer: LanguageModel) -> None:
    found = await propose_about(writer, DRAWN, ["dog", "striped\nstar"], 40, seed=1)
    for beginning, texts in zip(["a dog", "a striped star"], found.texts, strict=True):
        assert 1 < len(texts) <= 40
        assert all(text.startswith(beginning) for text in texts)
        assert len(set(map(normalised, texts))) == len(texts)
    assert found.unparsed + sum(map(len, found.texts)) <= 80


async def test_equal_seeds_give_equal_captions_and_subjects_are_drawn_apart(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    calls = (propose_about(writer, DRAWN, ["dog", "dog"], 4, seed=seed) for seed in (1, 2, 1))
    first, other, second = await asyncio.gather(*calls)
    assert words(first) == words(second)
    assert first.texts != other.texts
    assert len({asked.sampling.seed for asked in generator.asked}) == 4


async def test_many_subjects_take_turns(writer: LanguageModel, generator: NotingGenerator) -> None:
    subjects = [f"thing {place}" for place in range(3 * SIDE_BY_SIDE)]
    found = await propose_about(writer, DRAWN, subjects, 1, seed=1)
    assert len(found.texts) == len(subjects)
    assert generator.most_running == SIDE_BY_SIDE


async def test_subjects_wait_for_room_when_one_found_some(writer_folder: Path) -> None:
    generator = NotingGenerator(writer_folder, queue=1, cache_bytes=2**17)
    await generator.load()
    async with language_of(generator) as language:
        found = await propose_about(language, DRAWN, ["dog", "cat", "star"], 4, seed=1)
        assert all(found.texts)


async def test_subjects_are_refused_when_none_finds_room(writer_folder: Path) -> None:
    generator = NotingGenerator(writer_folder, queue=1, cache_bytes=2**19)
    await generator.load()
    async with language_of(generator) as language:
        async with aclosing(generator.generate(*LONG)) as running:
            await anext(running)  # which fills the memory
            waiting = asyncio.create_task(anext(generator.generate(*LONG)))
            await asyncio.sleep(0)  # until it fills the queue
            with pytest.raises(ResourceExhausted):
                await propose_about(language, DRAWN, ["dog", "cat"], 4, seed=1)
        await waiting


async def test_subject_that_is_too_long_is_named(writer_folder: Path, tmp_path: Path) -> None:
    generator = NotingGenerator(changed(writer_folder, tmp_path / "writer", context_length=64))
    await generator.load()
    async with language_of(generator) as language:
        with pytest.raises(InvalidArgument, match="too long") as caught:
            await propose_about(language, DRAWN, ["dog", "word " * 40], 1, seed=1)
        assert caught.value.field == "subjects[1]"
    assert not generator.asked


async def test_what_a_model_cannot_do_is_refused_by_its_field(writer: LanguageModel) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await propose_about(writer, DRAWN, ["dog"], 1, seed=1, guidance="short")
    assert refused.value.field == "guidance"
    long = Generation(Sampling(max_tokens=CONTEXT), flexible=False)
    with pytest.raises(InvalidArgument) as invalid:
        await propose_about(writer, long, ["dog"], 1, seed=1)
    assert invalid.value.field == "max_tokens"


async def test_cancelling_ends_the_generations(
    writer: LanguageModel, generator: NotingGenerator
) -> None:
    task = asyncio.create_task(propose_about(writer, ENDLESS, ["dog"] * 40, 4, seed=1))
    await generator.wrote.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.running == 0
    assert len(generator.asked) == SIDE_BY_SIDE
