"""`triptych eval miniworld` against a real gateway, on small sets."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych import Client
from triptych.errors import NotFoundError
from triptych_export.evaluation.cli import app
from triptych_export.evaluation.miniworld.figures import Measure, possible_measures
from triptych_export.miniworld.questions import QUESTION_TYPES
from triptych_export.miniworld.world import CHANGES
from triptych_server.launch import GatewayProcess

SMALL = ["--scenes", "40", "--pairs", "20", "--questions", "80", "--chats", "40"]
CLIP = ("text_to_image_r1", "image_to_text_r1", "zh_text_to_image_r1", "zh_image_to_text_r1")


@pytest.fixture(scope="module")
def figures(gateway: GatewayProcess) -> Any:
    """All that the shipped models are measured by."""
    done = CliRunner().invoke(app, ["miniworld", "--target", gateway.target, *SMALL, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_shipped_models_are_measured_by_everything(
    gateway: GatewayProcess, figures: Any
) -> None:
    with Client(gateway.target) as client:
        assert possible_measures(client) == set(Measure)
    assert figures.keys() == set(Measure)


def test_embeddings(figures: Any) -> None:
    clip = figures["clip"]
    assert all(0.9 <= clip[name] <= 1 for name in CLIP)
    for accuracy in (clip["attribute_accuracy"], clip["zh_attribute_accuracy"]):
        assert tuple(accuracy) == CHANGES
        assert all(0.8 <= share <= 1 for share in accuracy.values())


def test_captions(figures: Any) -> None:
    caption = figures["caption"]
    for language in ("", "zh_"):
        assert 0.95 <= caption[f"{language}attribute_f1"] <= 1
        assert 0.8 <= caption[f"{language}exact"] <= caption[f"{language}attribute_f1"]


def test_answers(figures: Any) -> None:
    vqa = figures["vqa"]
    for language in ("", "zh_"):
        by_type = vqa[f"{language}by_type"]
        assert tuple(by_type) == QUESTION_TYPES
        assert vqa[f"{language}accuracy"] == pytest.approx(sum(by_type.values()) / len(by_type))
        assert 0.9 <= vqa[f"{language}accuracy"] <= 1


def test_chats(figures: Any) -> None:
    assert all(0.8 <= figures["chat"][name] <= 1 for name in ("accuracy", "zh_accuracy"))
    assert all(0.5 <= figures["chat"][name] <= 1 for name in ("long_accuracy", "zh_long_accuracy"))


def test_matching(figures: Any) -> None:
    for gallery in (figures["itm"], figures["itm"]["near_duplicates"]):
        assert 0.9 <= gallery["text_to_image_r1"] <= 1
        assert 0.7 <= gallery["clip_text_to_image_r1"] <= 1


def test_the_collections_of_the_evaluation_are_gone(gateway: GatewayProcess, figures: Any) -> None:
    with Client(gateway.target) as client:
        assert not [one.name for one in client.collections.list() if one.name.startswith("eval-")]


def test_only_what_is_asked_for_is_measured(gateway: GatewayProcess) -> None:
    given = ["--target", gateway.target, *SMALL, "--only", "chat", "--only", "vqa"]
    done = CliRunner().invoke(app, ["miniworld", *given, "--json"])
    assert json.loads(done.stdout).keys() == {"vqa", "chat"}
    done = CliRunner().invoke(app, ["miniworld", *given])
    assert "answers: background" in done.stdout
    assert "attribute F1" not in done.stdout


@pytest.mark.parametrize(
    ("option", "measure"),
    [("--model", "clip"), ("--language-model", "caption"), ("--matching-model", "itm")],
)
def test_an_unknown_model_is_told(gateway: GatewayProcess, option: str, measure: str) -> None:
    given = ["--target", gateway.target, *SMALL, "--only", measure, option, "gpt"]
    done = CliRunner().invoke(app, ["miniworld", *given])
    assert isinstance(done.exception, NotFoundError)
    assert "gpt" in str(done.exception)
