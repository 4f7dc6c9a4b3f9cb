"""A gateway whose language model a real vLLM serves, beside one that runs all in process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from calls import Refusal, Stubs, raw, text
from conversations import Contents, conversation, reply
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scenes import Scenes
from vllmserver import VllmServer

from triptych.v1 import model_pb2
from triptych.v1.vision_language_pb2 import (
    AnswerRequest,
    CaptionRequest,
    ChatRequest,
    Generation,
)
from triptych_export.blip2_checkpoint import load_blip2
from triptych_export.vllm_checkpoint import VllmStyle, write_vllm_checkpoint
from triptych_server.launch import GatewayProcess
from triptych_server.offer import EMBEDDING, VISION_LANGUAGE

pytestmark = [pytest.mark.engines, pytest.mark.timeout(400)]

BLIP2 = "miniworld-blip2"
CHECKPOINT = Path(__file__).parents[2] / "export/checkpoints" / BLIP2
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TURN_S = 15.0  # that health may take to turn
AT_ONCE_S = 3.0
PICTURES = 8
QUESTIONS = ("what shape is it?", "what colour is it?", "背景是什么颜色?")
CHOICES = ("red", "green", "blue", "a circle", "圆形")


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """The language model of the shipped BLIP-2."""
    folder = tmp_path_factory.mktemp("checkpoint")
    loaded = load_blip2(CHECKPOINT, language_model=True)
    write_vllm_checkpoint(loaded, VllmStyle.PROMPT_EMBEDS, folder)
    flags = ("--enable-prompt-embeds", "--max-model-len", "512")
    with VllmServer(folder, *flags, name=BLIP2) as server:
        yield server


@pytest.fixture(scope="module")
def remote(vllm: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    folder = tmp_path_factory.mktemp("gateway")
    flags = ("--generator", vllm.url, "--data", folder / "data")
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        yield Stubs(channel)


def test_model_is_listed_as_ready(remote: Stubs) -> None:
    generator = remote.model.GetModel(model_pb2.GetModelRequest(name=BLIP2)).model.generator
    assert generator.state == model_pb2.STATE_READY
    assert not generator.beam_search  # which only the decoder in process does


def test_captions_are_those_in_process(remote: Stubs, stubs: Stubs, scenes: Scenes) -> None:
    images = [raw(pixels).image for pixels in scenes.pixels[:PICTURES]]
    for prompt in ("", "a photo of", "一个"):
        request = CaptionRequest(model=BLIP2, images=images, prompt=prompt)
        found, expected = (each.vision_language.Caption(request) for each in (remote, stubs))
        for one, other in zip(found.results, expected.results, strict=True):
            [caption], [reference] = one.captions.captions, other.captions.captions
            assert caption.text == reference.text != ""
            assert caption.tokens == reference.tokens
            assert caption.finish_reason == reference.finish_reason
            assert caption.log_probability == pytest.approx(reference.log_probability, abs=1e-3)
        assert found.usage == expected.usage


def test_penalty_of_a_prompt_with_a_picture_is_refused_by_its_field(
    remote: Stubs, scenes: Scenes
) -> None:
    generation = Generation(repetition_penalty=1.3)
    request = CaptionRequest(
        model=BLIP2, images=[raw(scenes.pixels[0]).image], generation=generation
    )
    with pytest.raises(grpc.RpcError) as caught:
        remote.vision_language.Caption(request)
    refused = Refusal(caught.value)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PENALTY_NOT_SUPPORTED",
    )
    assert refused.fields == ["generation.repetition_penalty"]


def test_answers_are_those_in_process(remote: Stubs, stubs: Stubs, scenes: Scenes) -> None:
    for pixels in scenes.pixels[:PICTURES]:
        for question in QUESTIONS:
            request = AnswerRequest(model=BLIP2, image=raw(pixels).image, question=question)
            found, expected = (each.vision_language.Answer(request) for each in (remote, stubs))
            assert found.answer == expected.answer != ""
            assert found.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
            assert found.usage == expected.usage


def test_choices_are_scored_as_in_process(remote: Stubs, stubs: Stubs, scenes: Scenes) -> None:
    for pixels in scenes.pixels[:PICTURES]:
        request = AnswerRequest(
            model=BLIP2, image=raw(pixels).image, question=QUESTIONS[0], choices=CHOICES
        )
        found, expected = (each.vision_language.Answer(request) for each in (remote, stubs))
        assert found.answer == expected.answer
        for one, other in zip(found.choices, expected.choices, strict=True):
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
            assert one.probability == pytest.approx(other.probability, abs=1e-3)


def chat_request(*messages: Contents) -> ChatRequest:
    generation = Generation(max_tokens=24)
    return ChatRequest(model=BLIP2, messages=conversation(*messages), generation=generation)


def test_chats_are_those_in_process(remote: Stubs, stubs: Stubs, scenes: Scenes) -> None:
    for pixels in scenes.pixels[:PICTURES]:
        turns = [[text("what is it?")], [text("a shape")]] * 40
        for earlier in (0, 2, len(turns)):
            request = chat_request(
                [raw(pixels), text("hello")], [text("hello")], *turns[:earlier], [text("where?")]
            )
            found, expected = (each.vision_language.Chat(request) for each in (remote, stubs))
            assert reply(found) == reply(expected)


def turns(channel: grpc.Channel, status: int) -> Callable[[], bool]:
    """Watch the health of VisionLanguageService; the result waits until it has this status."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=VISION_LANGUAGE), timeout=400
    )
    seen = threading.Event()

    def read() -> None:
        for answer in watch:
            if answer.status == status:
                seen.set()
                watch.cancel()
                return

    threading.Thread(target=read, daemon=True).start()
    return lambda: seen.wait(TURN_S)


def health(channel: grpc.Channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request).status


def refused(stubs: Stubs) -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        list(stubs.vision_language.Chat(chat_request([text("what?")]), timeout=AT_ONCE_S))
    return Refusal(caught.value)


def test_killed_vllm_is_told_at_once_and_comes_back_by_itself(
    vllm: VllmServer, remote: Stubs
) -> None:
    expected = reply(remote.vision_language.Chat(chat_request([text("what?")])))
    down = turns(remote.channel, NOT_SERVING)
    vllm.kill()
    refusal = refused(remote)
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.retry_after
    assert down()
    assert health(remote.channel, EMBEDDING) == SERVING
    generator = remote.model.GetModel(model_pb2.GetModelRequest(name=BLIP2)).model.generator
    assert generator.state == model_pb2.STATE_UNAVAILABLE
    assert vllm.url in generator.state_reason
    up = turns(remote.channel, SERVING)
    vllm.start()
    assert up()
    assert reply(remote.vision_language.Chat(chat_request([text("what?")]))) == expected
