"""Captions, answers and chats of models that take conversations, on a decoder behind a template."""

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from chatting import INSTRUCTIONS, TemplateChat, talker
from language import CONTEXT, FUSED, IMAGE_TOKENS, TWO_STEP
from language_parts import LONGEST_SIDE, Parts, parts
from PIL import Image

from triptych_server.capabilities.captioning import Caption, CaptionQuery, Captions, Order
from triptych_server.capabilities.chat import ChatEnd
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Message,
    Picture,
    Sampling,
    Speaker,
)
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Content, EncodedImage, RawImage, Text

SEES, READS = "sees", "reads"
GREEDY = Sampling(max_tokens=8)
SHORT = Generation(GREEDY, flexible=False)
USER, ASSISTANT = Speaker.USER, Speaker.ASSISTANT


def png(red: int, green: int, blue: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (red, green, blue)).save(file, "PNG")
    return file.getvalue()


RED, BLUE = EncodedImage(png(255, 0, 0)), EncodedImage(png(0, 0, 255))


@pytest.fixture
async def sees(language_repository: Path, tmp_path: Path) -> TemplateChat:
    return await talker(language_repository, tmp_path / SEES, pictures=3, scoring=True)


@pytest.fixture
async def built(
    language_repository: Path, tmp_path: Path, sees: TemplateChat
) -> AsyncIterator[Parts]:
    """A chat model that sees up to three pictures, and one that sees none."""
    reads = await talker(language_repository, tmp_path / READS, pictures=0)
    async with parts(language_repository, sees, reads) as built:
        yield built


def prompt(*messages: tuple[Speaker, Sequence[str | EncodedImage]]) -> ChatPrompt:
    """What a model is expected to be asked."""
    return ChatPrompt(
        [
            Message(
                speaker,
                [
                    Text(each) if isinstance(each, str) else Picture(each.data, "image/png")
                    for each in contents
                ],
            )
            for speaker, contents in messages
        ]
    )


async def written(model: TemplateChat, asked: ChatPrompt) -> str:
    return "".join([delta.text async for delta in model.generate(asked, GREEDY)])


async def caption(built: Parts, *images: EncodedImage, **fields: object) -> Sequence[object]:
    query = {"model": SEES, "images": images, "prompt": "", "generation": SHORT} | fields
    return (await built.captioner.caption(CaptionQuery(**query))).outcomes  # type: ignore[arg-type]


async def captions(built: Parts, image: EncodedImage, **fields: object) -> Sequence[Caption]:
    [outcome] = await caption(built, image, **fields)
    assert isinstance(outcome, Captions)
    return outcome.captions


async def chat(
    built: Parts, *messages: Sequence[Content], model: str = SEES, generation: Generation = SHORT
) -> tuple[str, ChatEnd]:
    *pieces, end = [each async for each in built.chat.reply(model, messages, generation)]
    assert isinstance(end, ChatEnd)
    return "".join(map(str, pieces)), end


async def test_caption_is_the_reply_to_an_instruction(built: Parts, sees: TemplateChat) -> None:
    expected = await written(sees, prompt((USER, [RED, INSTRUCTIONS.caption])))
    [found] = await captions(built, RED)
    assert found.text == expected.strip() != ""
    assert found.text != (await captions(built, BLUE))[0].text


async def test_prompt_of_a_caption_is_continued(built: Parts, sees: TemplateChat) -> None:
    asked = prompt((USER, [RED, INSTRUCTIONS.caption]), (ASSISTANT, ["a photo of"]))
    [found] = await captions(built, RED, prompt="a photo of")
    assert found.text == f"a photo of{await written(sees, asked)}".strip()


async def test_captions_of_a_model_that_sees_are_scored_by_others(built: Parts) -> None:
    sampled = Generation(Sampling(max_tokens=4, temperature=1.0, seed=3, n=4), flexible=False)
    found = await captions(
        built, RED, generation=sampled, order=Order.ITM, clip_model="", itm_model=TWO_STEP
    )
    assert len(found) == 4
    assert all(each.clip_score is not None and each.itm_score is not None for each in found)
    assert [each.itm_score for each in found] == sorted(
        (each.itm_score or 0.0 for each in found), reverse=True
    )
    assert built.engine.asked[f"{TWO_STEP}-vision"] == 1


async def test_one_corrupt_picture_fails_alone(built: Parts) -> None:
    good, bad, *_ = await caption(built, RED, EncodedImage(RED.data[:-30]))
    assert isinstance(good, Captions)
    assert isinstance(bad, InvalidArgument)
    assert (bad.field, bad.reason) == ("encoded", "IMAGE_UNREADABLE")


async def test_large_picture_is_shrunk(built: Parts, sees: TemplateChat) -> None:
    halves = np.zeros((400, 200, 3), np.uint8)
    halves[:200] = (255, 0, 0)
    shrunk = io.BytesIO()
    shape = (LONGEST_SIDE // 2, LONGEST_SIDE)
    Image.fromarray(halves).resize(shape, Image.Resampling.LANCZOS).save(shrunk, "PNG")
    large = RawImage(400, 200, halves.tobytes())
    asked = prompt((USER, [EncodedImage(shrunk.getvalue()), "what? Be brief."]))
    answer = await built.answerer.answer(SEES, large, "what?", SHORT)
    assert answer.text == (await written(sees, asked)).strip()


async def test_answer_is_the_reply_to_the_question(built: Parts, sees: TemplateChat) -> None:
    expected = await written(sees, prompt((USER, [RED, "what colour? Be brief."])))
    answer = await built.answerer.answer(SEES, RED, " what colour?\n", SHORT)
    assert answer.text == expected.strip() != ""
    assert answer.usage.prompt_tokens > IMAGE_TOKENS
    assert answer.times.preprocess_ns > 0


async def test_likeliest_choice_is_the_answer(built: Parts, sees: TemplateChat) -> None:
    asked = prompt((USER, [RED, "what colour? Be brief."]))
    scores = await sees.score(asked, ["red", "a green one"])
    choice = await built.answerer.choose(SEES, RED, "what colour?", [" red", "a green one"])
    assert choice.log_probabilities == pytest.approx(scores.log_probabilities, abs=1e-3)
    assert choice.best == int(np.argmax(scores.log_probabilities))


async def test_model_without_scores_takes_no_choices(
    language_repository: Path, tmp_path: Path
) -> None:
    model = await talker(language_repository, tmp_path / "talks", pictures=1)
    async with parts(language_repository, model) as built:
        with pytest.raises(FailedPrecondition) as caught:
            await built.answerer.choose("talks", RED, "what?", ["a", "b"])
    assert (caught.value.reason, caught.value.field) == ("CHOICES_NOT_SUPPORTED", "choices")


async def test_pictures_of_a_chat_stand_where_people_put_them(
    built: Parts, sees: TemplateChat
) -> None:
    asked = prompt(
        (USER, ["is this", RED, "like this? say"]), (ASSISTANT, ["no"]), (USER, [BLUE, "?"])
    )
    messages = (
        [Text("is this "), RED, Text("like this?"), Text("say")],
        [Text(" no")],
        [BLUE, Text("?")],
    )
    text, end = await chat(built, *messages)
    assert text == (await written(sees, asked)).strip() != ""
    assert end.trimmed_messages == 0
    moved = [RED, Text("is this "), Text("like this?"), Text("say")], *messages[1:]
    assert (await chat(built, *moved))[0] != text


async def test_chat_may_be_in_words_alone(built: Parts) -> None:
    text, end = await chat(built, [Text("who are you?")])
    assert text
    alone, other = await chat(built, [Text("who are you?")], model=READS)
    assert (alone, other.model, end.model) == (text, READS, SEES)


def long_conversation() -> list[Sequence[Content]]:
    """Much longer than the context; a picture in the first message, and one in the last."""
    messages: list[Sequence[Content]] = [[RED, Text("what is it?")], [Text("a square")]]
    for turn in range(60):
        messages += [[Text(f"and {turn} " + "again " * (turn % 4))], [Text("yes")]]
    return [*messages, [BLUE, Text("what colour?")]]


async def test_pictures_are_left_out_with_their_messages(built: Parts) -> None:
    messages = long_conversation()
    text, end = await chat(built, *messages)
    assert 0 < end.trimmed_messages < len(messages) - 1
    assert end.trimmed_messages % 2 == 0
    kept = messages[end.trimmed_messages :]
    whole, untrimmed = await chat(built, *kept)
    assert (whole, untrimmed.trimmed_messages) == (text, 0)
    hostile = [[EncodedImage(b"no picture"), *messages[0][1:]], *messages[1:]]
    assert (await chat(built, *hostile))[0] == text  # it was not even looked at


async def test_more_pictures_than_the_model_takes_are_refused(built: Parts) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await chat(built, [RED, RED, RED, Text("a?")], [Text("b")], [Text("c?"), BLUE])
    assert (caught.value.reason, caught.value.field) == (
        "TOO_MANY_IMAGES",
        "messages[2].contents[1]",
    )


async def test_corrupt_picture_is_named(built: Parts) -> None:
    broken = EncodedImage(b"no picture")
    with pytest.raises(InvalidArgument) as caught:
        await chat(built, [RED, Text("a?")], [Text("b")], [Text("c?"), broken])
    assert caught.value.field == "messages[2].contents[1].image.encoded"
    with pytest.raises(InvalidArgument) as caught:
        await built.answerer.answer(SEES, broken, "what?", SHORT)
    assert caught.value.field == "image.encoded"


async def test_prompt_that_only_the_server_finds_too_long_is_the_callers(
    built: Parts, sees: TemplateChat
) -> None:
    """Nobody else knows how many tokens a picture takes."""
    one, two = [await sees.count(prompt((USER, [text]))) for text in ("x", "x x")]
    for_chat = "x" + " x" * ((CONTEXT - one - GREEDY.max_tokens - 1) // (two - one))
    with pytest.raises(InvalidArgument) as caught:
        await chat(built, [Text("a")], [Text("b")], [RED, Text(for_chat)])
    assert (caught.value.reason, caught.value.field) == ("PROMPT_TOO_LONG", "messages[2]")
    question = for_chat.removesuffix(" x" * 12)
    while (await sees.count(prompt((USER, [f"{question} Be brief."])))) + 8 <= CONTEXT - 2:
        question += " x"
    with pytest.raises(InvalidArgument) as caught:
        await built.answerer.answer(SEES, RED, question, SHORT)
    assert (caught.value.reason, caught.value.field) == ("PROMPT_TOO_LONG", "question")


async def test_what_the_server_refuses_for_a_reason_of_its_own_is_the_callers(
    language_repository: Path, tmp_path: Path
) -> None:
    model = await talker(language_repository, tmp_path / "picky", pictures=2, max_prefixes=1)
    async with parts(language_repository, model) as built:
        with pytest.raises(InvalidArgument, match="takes 1 pictures") as caught:
            await chat(built, [RED, BLUE, Text("same?")], model="picky")
    assert (caught.value.reason, caught.value.field) == ("PROMPT_REFUSED", "messages[0]")


async def test_words_that_are_too_long_are_refused_before_any_work(built: Parts) -> None:
    long, broken = "word " * 1_000, EncodedImage(b"no picture")
    for call, field in (
        (chat(built, [broken, Text(long)]), "messages[0]"),
        (built.answerer.answer(SEES, broken, long, SHORT), "question"),
        (caption(built, broken, prompt=long), "prompt"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await call
        assert (caught.value.reason, caught.value.field) == ("PROMPT_TOO_LONG", field)


async def test_model_of_words_chats_and_does_nothing_else(built: Parts) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await chat(built, [RED, Text("what?")], model=READS)
    assert (refused.value.reason, refused.value.field) == (
        "TOO_MANY_IMAGES",
        "messages[0].contents[0]",
    )
    for call in (
        caption(built, RED, model=READS),
        built.answerer.answer(READS, RED, "what?", SHORT),
        built.answerer.choose(READS, RED, "what?", ["a", "b"]),
    ):
        with pytest.raises(FailedPrecondition, match="it serves chat") as failed:
            await call
        assert (failed.value.reason, failed.value.field) == ("TASK_NOT_SUPPORTED", "model")


async def test_chat_without_a_name_has_the_default_of_captions(
    language_repository: Path, tmp_path: Path
) -> None:
    """A model of words comes first by name, and is chosen only when there is nothing else."""
    reads = await talker(language_repository, tmp_path / "a-reader", pictures=0)
    folder = language_repository.parent / "generators" / FUSED
    fused = OnnxGenerator(folder, threads=1, queue=8, cache_bytes=2**22)
    await fused.load()
    async with parts(language_repository, reads, fused) as built:
        assert built.catalog.default(Task.VISION_LANGUAGE) == FUSED
        _, end = await chat(built, [Text("hello")], model="")
        assert end.model == FUSED
    alone = await talker(language_repository, tmp_path / "b-reader", pictures=0)
    async with parts(language_repository, alone) as built:
        _, end = await chat(built, [Text("hello")], model="")
        assert end.model == "b-reader"
        assert built.catalog.default(Task.VISION_LANGUAGE) == ""
        assert built.catalog.is_default(built.catalog.get("b-reader", Task.CHAT))
        await built.catalog.check(Task.CHAT)
