from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from triptych_export.training.clip_model import build_model
from triptych_export.training.clip_overshoot import Overshoot, measure_overshoot

CHECKPOINT = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    torch.set_num_threads(1)
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def test_the_shipped_model_seldom_overshoots(tokenizer: PreTrainedTokenizerBase) -> None:
    found = measure_overshoot(CLIPModel.from_pretrained(CHECKPOINT), tokenizer, scenes=12)
    assert found.margins.shape == (12,)
    assert found.share < 0.25
    assert np.median(found.margins) > 0.04
    assert np.quantile(found.alike, 0.99) < 0.95


def test_a_model_that_cannot_see_overshoots_everywhere(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    found = measure_overshoot(build_model(tokenizer), tokenizer, scenes=4, language="zh")
    assert found.share == 1


def test_captions_of_one_change_are_those_of_every_attribute(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    found = measure_overshoot(CLIPModel.from_pretrained(CHECKPOINT), tokenizer, scenes=1)
    assert found.alike.shape == (1 + 1 + 7 + 5 + 4 + 8,)
    assert found.alike.max() < 1


def test_a_false_caption_as_high_as_the_truth_overshoots() -> None:
    margins = np.array([0.1, 0.0, -0.1, 0.2], np.float32)
    assert Overshoot(margins, np.zeros(1, np.float32)).share == 0.5
