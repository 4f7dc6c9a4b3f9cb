from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerBase

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw
from triptych_export.miniworld.world import sample_scene
from triptych_export.training.clip_evaluation import evaluate
from triptych_export.training.clip_model import normalise
from triptych_export.training.tokenizer import CONTEXT_LENGTH, build_tokenizer

CHECKPOINT = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def test_the_checkpoint_tells_scenes_and_attributes_apart(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    torch.set_num_threads(1)
    model = CLIPModel.from_pretrained(CHECKPOINT)
    figures = evaluate(model, tokenizer, scenes=200, pairs=60)
    assert len(figures) == 2 * (2 + 9)
    assert min(figures.values()) >= 0.97, figures


def test_the_checkpoint_is_small() -> None:
    assert (CHECKPOINT / "model.safetensors").stat().st_size < 8_000_000


def test_the_image_processor_does_what_training_did() -> None:
    picture = draw(sample_scene(np.random.default_rng(0)), np.random.default_rng(0))
    processor = CLIPImageProcessorPil.from_pretrained(CHECKPOINT)
    pixels = processor(images=Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    assert np.allclose(pixels.numpy(), normalise(picture[None]).numpy(), atol=1e-6)


def test_the_shipped_tokenizer_is_the_one_that_is_built(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.get_vocab() == build_tokenizer().get_vocab()


def test_the_end_token_has_the_highest_id(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("a red star")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id == len(tokenizer) - 1


def test_chinese_splits_into_characters_and_case_is_ignored(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = tokenizer.tokenize("A RED Star在左上\uff0c灰色 zebra")
    assert tokens == ["a", "red", "star", *"在左上,灰色", "[UNK]"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_caption_is_known_and_fits(language: str, tokenizer: PreTrainedTokenizerBase) -> None:
    rng = np.random.default_rng(0)
    texts = [caption(sample_scene(rng), language) for _ in range(500)]
    rows = tokenizer(texts)["input_ids"]
    assert max(len(row) for row in rows) <= CONTEXT_LENGTH // 2 + 4
    assert all(tokenizer.unk_token_id not in row for row in rows)
