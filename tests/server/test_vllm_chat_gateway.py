"""A gateway beside a real vLLM that serves a whole vision-language model, as it would any other.

It is the shipped BLIP-2 once more: asked in messages, with pictures as files, it must say what it
says in process, where the gateway computes its encoders and puts questions into its form.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from calls import Stubs, encoded, png, raw, refusal, text
from conversations import conversation, reply
from PIL import Image
from scenes import Scenes
from vllmserver import VllmServer

from triptych.v1 import model_pb2
from triptych.v1.vision_language_pb2 import (
    AnswerRequest,
    CaptionRequest,
    CaptionScoring,
    ChatRequest,
)
from triptych_server.launch import GatewayProcess

pytestmark = [pytest.mark.engines, pytest.mark.timeout(400)]

BLIP2, SEEING = "miniworld-blip2", "seeing"
CHECKPOINT = Path(__file__).parents[2] / "export/checkpoints" / BLIP2
TEMPLATE = Path(__file__).parents[1] / "engines" / f"{BLIP2}.jinja"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PICTURES = 8
QUESTIONS = ("what shape is it?", "what colour is it?", "背景是什么颜色?")
DESCRIBE = "what is in the picture?"
ORIENTATION, TURNED_RIGHT = 0x0112, 8
TABLE = """
[[remote_generators]]
name = "{name}"
urls = ["{url}"]
pictures = 1
answer_instruction = "{{question}}"
caption_instruction = "{describe}"
"""


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    folder = tmp_path_factory.mktemp("gateway")
    template = ("--chat-template", str(TEMPLATE), "--chat-template-content-format", "openai")
    with VllmServer(CHECKPOINT, *template, "--max-model-len", "512", name=SEEING) as vllm:
        config = folder / "gateway.toml"
        config.write_text(TABLE.format(name=SEEING, url=vllm.url, describe=DESCRIBE))
        flags = ("--config", config, "--data", folder / "data")
        with (
            GatewayProcess(*flags, log=folder / "log") as process,
            grpc.insecure_channel(process.target) as channel,
        ):
            yield Stubs(channel)


def test_model_is_listed_with_what_it_sees(seeing: Stubs) -> None:
    model = seeing.model.GetModel(model_pb2.GetModelRequest(name=SEEING)).model
    generator = model.generator
    assert (model.space, len(model.encoders)) == ("", 0)
    assert (generator.proposals, model.default) == (True, False)  # the shipped one proposes
    assert (generator.chat, generator.max_images, generator.context_length) == (True, 1, 512)
    assert (generator.beam_search, generator.choices) == (False, False)
    assert generator.state == model_pb2.STATE_READY


def test_answers_are_those_in_process(seeing: Stubs, scenes: Scenes) -> None:
    for pixels in scenes.pixels[:PICTURES]:
        for question in QUESTIONS:
            found, expected = (
                seeing.vision_language.Answer(
                    AnswerRequest(model=model, image=raw(pixels).image, question=question)
                )
                for model in (SEEING, BLIP2)
            )
            assert found.answer == expected.answer != ""
            assert found.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
            assert found.usage == expected.usage
            assert found.model == SEEING


def test_captions_are_replies_to_the_instruction(seeing: Stubs, scenes: Scenes) -> None:
    images = [raw(pixels).image for pixels in scenes.pixels[:PICTURES]]
    request = CaptionRequest(
        model=SEEING, images=images, scoring=CaptionScoring(clip=True, itm=True)
    )
    results = seeing.vision_language.Caption(request).results
    for image, result in zip(images, results, strict=True):
        [caption] = result.captions.captions
        asked = AnswerRequest(model=BLIP2, image=image, question=DESCRIBE)
        asked.generation.max_tokens = 30
        assert caption.text == seeing.vision_language.Answer(asked).answer
        assert caption.itm_score > 0.5
        assert caption.HasField("clip_score")


def test_caption_begins_with_its_prompt_and_goes_on(seeing: Stubs, scenes: Scenes) -> None:
    image = raw(scenes.pixels[0]).image
    request = CaptionRequest(model=SEEING, images=[image])
    [whole] = seeing.vision_language.Caption(request).results
    text = whole.captions.captions[0].text
    request.prompt = " ".join(text.split()[:3])
    [continued] = seeing.vision_language.Caption(request).results
    assert continued.captions.captions[0].text == text


def test_chats_are_those_in_process(seeing: Stubs, scenes: Scenes) -> None:
    for pixels in scenes.pixels[:PICTURES]:
        messages = conversation(
            [raw(pixels), text("what shape is it?")],
            [text("a circle")],
            [text("what colour is it?")],
        )
        found, expected = (
            reply(seeing.vision_language.Chat(ChatRequest(model=model, messages=messages)))
            for model in (SEEING, BLIP2)
        )
        assert found == expected
        assert found[0]


def test_chat_may_be_in_words_alone(seeing: Stubs) -> None:
    messages = conversation([text("what is it?")])
    said, trimmed = reply(seeing.vision_language.Chat(ChatRequest(model=SEEING, messages=messages)))
    assert said
    assert trimmed == 0


def test_picture_is_seen_as_it_was_sent(seeing: Stubs, scenes: Scenes) -> None:
    """Turned by its EXIF block, or larger than any model looks at."""
    upright = Image.fromarray(scenes.pixels[0])
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    turned = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_270).save(turned, "PNG", exif=exif)
    large = png(np.asarray(upright.resize((3200, 3200), Image.Resampling.NEAREST)))
    answers = [
        seeing.vision_language.Answer(
            AnswerRequest(model=SEEING, image=content.image, question=DESCRIBE)
        ).answer
        for content in (raw(scenes.pixels[0]), encoded(turned.getvalue()), encoded(large))
    ]
    assert answers[0] == answers[1] == answers[2] != ""


def test_what_cannot_be_sent_is_refused_here(seeing: Stubs, scenes: Scenes) -> None:
    broken = encoded(png(scenes.pixels[0])[:-40]).image
    request = AnswerRequest(model=SEEING, image=broken, question="what?")
    found = refusal(seeing.vision_language.Answer, request)
    assert (found.code, found.fields) == (INVALID, ["image.encoded"])
    request = AnswerRequest(
        model=SEEING, image=raw(scenes.pixels[0]).image, question="what?", choices=["a", "b"]
    )
    found = refusal(seeing.vision_language.Answer, request)
    assert (found.code, found.fields) == (grpc.StatusCode.FAILED_PRECONDITION, ["choices"])


def test_question_that_the_picture_makes_too_long_is_the_callers(
    seeing: Stubs, scenes: Scenes
) -> None:
    """Only vLLM knows how many tokens its pictures take: at the limit it is who refuses."""

    def answer(words: int) -> AnswerRequest:
        image = raw(scenes.pixels[0]).image
        request = AnswerRequest(model=SEEING, image=image, question="what " * words)
        request.generation.max_tokens = 1
        return request

    shorter, longer = 1, 1_000  # the longest question that fits is between them
    while longer - shorter > 1:
        words = (shorter + longer) // 2
        try:
            seeing.vision_language.Answer(answer(words))
            shorter = words
        except grpc.RpcError:
            longer = words
    assert shorter > 100
    for words in (longer, longer + 1, 2 * longer):
        found = refusal(seeing.vision_language.Answer, answer(words))
        assert (found.reason, found.fields) == ("PROMPT_TOO_LONG", ["question"])
        assert found.code is INVALID
