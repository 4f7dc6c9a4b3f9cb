"""ModelService, through gateways of models of every kind."""

import shutil
from pathlib import Path

import grpc
import pytest
from calls import MODEL, Stubs, refusal
from language import CONTEXT, FUSED, IMAGE_TOKENS, PLAIN, TWO_STEP
from tiny_blip2 import SPACE

from triptych.v1 import embedding_pb2, media_pb2, model_pb2
from triptych_server.launch import GatewayProcess


def get(stubs: Stubs, name: str) -> model_pb2.Model:
    return stubs.model.GetModel(model_pb2.GetModelRequest(name=name)).model


def test_a_generator_is_listed_with_what_it_can(language: Stubs) -> None:
    model = get(language, FUSED)
    assert (model.family, model.space, model.dimension) == ("blip_2", SPACE, 0)
    generator = model.generator
    assert (generator.family, generator.precision) == ("opt", "fp32")
    assert generator.context_length == CONTEXT
    assert (generator.image_tokens, generator.max_images) == (IMAGE_TOKENS, 1)
    assert (generator.beam_search, generator.choices) == (True, True)
    assert (generator.state, generator.state_reason) == (model_pb2.STATE_READY, "")
    plain = get(language, PLAIN).generator
    assert (plain.beam_search, plain.choices) == (False, False)


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        (MODEL, {model_pb2.ROLE_IMAGE_ENCODER, model_pb2.ROLE_TEXT_ENCODER}),
        (FUSED, {model_pb2.ROLE_IMAGE_PREFIX}),
        (TWO_STEP, {model_pb2.ROLE_VISION, model_pb2.ROLE_PREFIX, model_pb2.ROLE_ITM}),
    ],
)
def test_a_model_is_listed_with_its_roles(language: Stubs, name: str, roles: set[int]) -> None:
    encoders = get(language, name).encoders
    assert {encoder.role for encoder in encoders} == roles
    assert {encoder.state for encoder in encoders} == {model_pb2.STATE_READY}


def test_each_task_has_one_default(language: Stubs) -> None:
    models = language.model.ListModels(model_pb2.ListModelsRequest()).models
    assert {model.name for model in models if model.default} == {FUSED, MODEL, TWO_STEP}
    assert get(language, "").name == MODEL


def test_a_model_that_writes_does_not_embed_and_says_what_it_does(language: Stubs) -> None:
    contents = [media_pb2.Content(text="a red circle")]
    request = embedding_pb2.EmbedRequest(model=FUSED, contents=contents)
    refused = refusal(language.embedding.Embed, request)
    assert refused.code == grpc.StatusCode.FAILED_PRECONDITION
    assert (refused.reason, refused.fields) == ("TASK_NOT_SUPPORTED", ["model"])
    assert "it serves text about pictures and chat" in refused.message


def test_a_generator_that_cannot_serve_says_why(language_repository: Path, tmp_path: Path) -> None:
    folder = language_repository.parent
    for directory in (language_repository.name, "generators"):
        shutil.copytree(folder / directory, tmp_path / directory)
    (tmp_path / "generators" / FUSED / "tokenizer.json").write_text("{}")
    flags = ("--repository", tmp_path / language_repository.name, "--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        stubs = Stubs(channel)
        broken, sound = get(stubs, FUSED).generator, get(stubs, PLAIN).generator
    assert broken.state == model_pb2.STATE_UNAVAILABLE
    assert "tokenizer.json" in broken.state_reason
    assert broken.context_length == CONTEXT
    assert sound.state == model_pb2.STATE_READY
