from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    CLIPModel,
)

from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.training import blip2_evaluation, blip2_itm_evaluation
from triptych_export.training.blip2_itm_model import build_itm_tokenizer
from triptych_export.training.blip2_tokenizer import build_tokenizer

CHECKPOINTS = Path(__file__).parents[3] / "export/checkpoints"
GENERATION, MATCHER = CHECKPOINTS / "miniworld-blip2", CHECKPOINTS / "miniworld-blip2-itm"
CLIP = CHECKPOINTS / "miniworld-clip"


@pytest.fixture(scope="module")
def model() -> Blip2ForConditionalGeneration:
    torch.set_num_threads(1)
    return Blip2ForConditionalGeneration.from_pretrained(GENERATION, dtype=torch.float32)


def test_it_captions_answers_and_chats(model: Blip2ForConditionalGeneration) -> None:
    tokenizer = AutoTokenizer.from_pretrained(GENERATION)
    figures = blip2_evaluation.evaluate(model, tokenizer, scenes=100, questions=200, chats=60)
    for language in ("en", "zh"):
        assert figures[f"{language}/attribute_f1"] >= 0.97
        assert figures[f"{language}/exact"] >= 0.9
        assert figures[f"{language}/vqa"] >= 0.95
        assert figures[f"{language}/chat"] >= 0.85


def test_the_plain_processor_gives_what_training_gave(
    model: Blip2ForConditionalGeneration,
) -> None:
    processor = Blip2Processor.from_pretrained(GENERATION)
    pictures, prompts = retrieval_set(4).pictures, ["a", "一个", "a large", "一个小"]
    expected = blip2_evaluation.generate(model, processor.tokenizer, pictures, prompts)
    for picture, prompt, told in zip(pictures, prompts, expected, strict=True):
        inputs = processor(images=Image.fromarray(picture), text=prompt, return_tensors="pt")
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=40)
        assert processor.batch_decode(ids, skip_special_tokens=True)[0] == prompt + told


def test_the_matcher_tells_a_changed_caption_from_the_true_one() -> None:
    torch.set_num_threads(1)
    figures = blip2_itm_evaluation.evaluate(
        Blip2ForImageTextRetrieval.from_pretrained(MATCHER, dtype=torch.float32),
        AutoTokenizer.from_pretrained(MATCHER),
        CLIPModel.from_pretrained(CLIP),
        AutoTokenizer.from_pretrained(CLIP),
        scenes=40,
        pairs=30,
    )
    assert min(figures.values()) >= 0.9, figures


def test_both_have_one_vision_tower_in_half_precision() -> None:
    with (
        safe_open(GENERATION / "model.safetensors", "np") as generation,
        safe_open(MATCHER / "model.safetensors", "np") as matcher,
    ):
        names = [name for name in generation.keys() if name.startswith("vision_model.")]  # noqa: SIM118
        assert names
        for name in names:
            weight = generation.get_tensor(name)
            assert weight.dtype == np.float16
            assert np.array_equal(weight, matcher.get_tensor(name))


@pytest.mark.parametrize("checkpoint", [GENERATION, MATCHER])
def test_they_are_small(checkpoint: Path) -> None:
    assert (checkpoint / "model.safetensors").stat().st_size < 5_000_000


def test_the_shipped_tokenizers_are_those_that_are_built() -> None:
    for checkpoint, built in ((GENERATION, build_tokenizer()), (MATCHER, build_itm_tokenizer())):
        shipped = AutoTokenizer.from_pretrained(checkpoint)
        assert shipped.get_vocab() == built.get_vocab()
        assert shipped("一个小的 red star").input_ids == built("一个小的 red star").input_ids
