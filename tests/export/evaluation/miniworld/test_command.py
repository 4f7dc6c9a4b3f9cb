"""`triptych eval miniworld` against a real gateway, on small sets."""

import json

import pytest
from typer.testing import CliRunner

from triptych import Client
from triptych.errors import NotFoundError
from triptych_export.evaluation.cli import app
from triptych_export.evaluation.miniworld.clip import evaluate_clip
from triptych_export.miniworld.world import CHANGES
from triptych_server.launch import GatewayProcess


def test_figures_are_shares_and_the_shipped_model_is_good(gateway: GatewayProcess) -> None:
    with Client(gateway.target) as client:
        figures = evaluate_clip(client, scenes=64, pairs=64)
    recalls = (
        figures.text_to_image_r1,
        figures.image_to_text_r1,
        figures.zh_text_to_image_r1,
        figures.zh_image_to_text_r1,
    )
    assert all(0.9 <= recall <= 1 for recall in recalls)
    for accuracy in (figures.attribute_accuracy, figures.zh_attribute_accuracy):
        assert tuple(accuracy) == CHANGES
        assert all(0.85 <= share <= 1 for share in accuracy.values())


def test_json_has_the_documented_keys(gateway: GatewayProcess) -> None:
    small = ["--scenes", "8", "--pairs", "4", "--json"]
    done = CliRunner().invoke(app, ["miniworld", "--target", gateway.target, *small])
    assert done.exit_code == 0, done.output
    clip = json.loads(done.stdout)["clip"]
    assert {"text_to_image_r1", "image_to_text_r1", "zh_text_to_image_r1"} <= clip.keys()
    assert set(clip["attribute_accuracy"]) == set(CHANGES)


def test_unknown_model_is_told(gateway: GatewayProcess) -> None:
    with Client(gateway.target) as client, pytest.raises(NotFoundError, match="gpt"):
        evaluate_clip(client, model="gpt", scenes=8, pairs=4)
