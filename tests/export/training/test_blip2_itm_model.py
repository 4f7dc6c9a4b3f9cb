"""The functions that start from patches against the forward of the plain model."""

from pathlib import Path

import pytest
import torch
from transformers import Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval, CLIPModel

from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.training.blip2_itm_model import (
    build_itm_model,
    build_itm_tokenizer,
    match_logits,
    picture_features,
    text_features,
)
from triptych_export.training.blip2_model import build_model
from triptych_export.training.blip2_tokenizer import build_tokenizer
from triptych_export.training.clip_model import normalise

CLIP = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"


@pytest.fixture(scope="module")
def generation() -> Blip2ForConditionalGeneration:
    torch.manual_seed(0)
    return build_model(build_tokenizer(), CLIPModel.from_pretrained(CLIP))


@pytest.fixture(scope="module")
def matcher(generation: Blip2ForConditionalGeneration) -> Blip2ForImageTextRetrieval:
    return build_itm_model(build_itm_tokenizer(), generation).eval()


@torch.inference_mode()
def test_patches_give_what_the_plain_model_gives(matcher: Blip2ForImageTextRetrieval) -> None:
    drawn = retrieval_set(4)
    tokens = build_itm_tokenizer()(drawn.captions(), padding=True, return_tensors="pt")
    ids, seen = tokens["input_ids"], tokens["attention_mask"]
    queries = matcher.config.num_query_tokens
    image = torch.full((4, queries), matcher.config.image_token_index)
    pixels = normalise(drawn.pictures)
    patches = matcher.vision_model(pixels).last_hidden_state
    inputs = {
        "pixel_values": pixels,
        "input_ids": torch.cat([image, ids], dim=1),
        "attention_mask": torch.cat([torch.ones_like(image), seen], dim=1),
    }
    matched = matcher(**inputs, use_image_text_matching_head=True).logits_per_image
    assert torch.allclose(match_logits(matcher, patches, ids, seen), matched, atol=1e-5)
    similar = torch.einsum(
        "pqd,td->ptq", picture_features(matcher, patches), text_features(matcher, ids, seen)
    )
    contrasted = matcher(**inputs).logits_per_image
    assert torch.allclose(similar.amax(dim=-1), contrasted, atol=1e-5)
    assert matched.std(dim=0).min() > 0


def test_the_tower_is_the_generators_and_stays(
    generation: Blip2ForConditionalGeneration, matcher: Blip2ForImageTextRetrieval
) -> None:
    theirs = generation.vision_model.state_dict()
    for name, weight in matcher.vision_model.named_parameters():
        assert torch.equal(weight, theirs[name])
        assert not weight.requires_grad


def test_text_starts_with_the_layers_of_the_queries(matcher: Blip2ForImageTextRetrieval) -> None:
    state = matcher.qformer.state_dict()
    doubled = [name for name in state if "_query" in name]
    assert doubled
    for name in doubled:
        assert torch.equal(state[name], state[name.replace("_query", "")])


def test_the_tokenizer_is_clips_with_a_token_for_the_picture() -> None:
    tokenizer = build_itm_tokenizer()
    assert tokenizer.convert_tokens_to_ids("<image>") == len(tokenizer) - 1
    assert tokenizer.unk_token_id not in tokenizer("a small striped red star").input_ids
