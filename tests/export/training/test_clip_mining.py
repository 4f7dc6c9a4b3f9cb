from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw_all
from triptych_export.miniworld.world import Language, Scene, same, sample_scene
from triptych_export.training.clip_mining import Mined, mine
from triptych_export.training.clip_model import (
    build_model,
    image_features,
    normalise,
    text_features,
)

CHECKPOINT = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"
LANGUAGE: Language = "zh"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    torch.set_num_threads(1)
    return AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng) for _ in range(8)]


@pytest.fixture(scope="module")
def pictures(scenes: list[Scene]) -> torch.Tensor:
    """Of the shipped model."""
    return features_of(CLIPModel.from_pretrained(CHECKPOINT), scenes)


@torch.no_grad()
def features_of(model: CLIPModel, scenes: list[Scene]) -> torch.Tensor:
    return image_features(model, normalise(draw_all(scenes, np.random.default_rng(1))))


@pytest.fixture(scope="module")
def mined(
    tokenizer: PreTrainedTokenizerBase, scenes: list[Scene], pictures: torch.Tensor
) -> list[Mined]:
    model, rng = CLIPModel.from_pretrained(CHECKPOINT), np.random.default_rng(2)
    return mine(model, tokenizer, scenes, pictures, LANGUAGE, 4, rng)


def test_what_is_found_is_false_and_found_once(scenes: list[Scene], mined: list[Mined]) -> None:
    for scene, found in zip(scenes, mined, strict=True):
        assert len(found.false) == 4
        assert len({one.canonical() for one in found.false}) == 4
        assert not any(same(scene, one) for one in found.false)


@torch.no_grad()
def test_the_margin_is_what_the_lower_telling_leads_by(
    tokenizer: PreTrainedTokenizerBase,
    scenes: list[Scene],
    pictures: torch.Tensor,
    mined: list[Mined],
) -> None:
    model = CLIPModel.from_pretrained(CHECKPOINT)
    for scene, picture, found in zip(scenes, pictures, mined, strict=True):
        told = [found.true, found.true.inverted(), *found.false]
        texts = [caption(one, LANGUAGE) for one in told]
        true, inverted, *false = (text_features(model, tokenizer, texts) @ picture).tolist()
        assert same(scene, found.true)
        assert true <= inverted
        assert false == sorted(false, reverse=True)
        assert found.margin == pytest.approx(true - false[0], abs=1e-5)


def test_an_untrained_model_overshoots_and_the_shipped_one_hardly(
    tokenizer: PreTrainedTokenizerBase, scenes: list[Scene], mined: list[Mined]
) -> None:
    torch.manual_seed(0)
    untrained = build_model(tokenizer).eval()
    found = mine(
        untrained,
        tokenizer,
        scenes,
        features_of(untrained, scenes),
        LANGUAGE,
        1,
        np.random.default_rng(2),
    )
    assert all(one.margin < 0 for one in found)
    assert all(one.margin > 0 for one in mined)
