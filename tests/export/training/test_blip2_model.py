"""The loss shares one reading of the prefix; the model's own forward is the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Blip2ForConditionalGeneration, CLIPModel

from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.training.blip2_batches import IGNORED, Batch, Writer, sample_scenes
from triptych_export.training.blip2_loss import batch_loss
from triptych_export.training.blip2_model import build_model
from triptych_export.training.blip2_tokenizer import build_tokenizer
from triptych_export.training.clip_model import normalise

CLIP = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    return CLIPModel.from_pretrained(CLIP)


@pytest.fixture(scope="module")
def model(clip: CLIPModel) -> Blip2ForConditionalGeneration:
    torch.manual_seed(0)
    return build_model(build_tokenizer(), clip)


def plain_loss(model: Blip2ForConditionalGeneration, batch: Batch) -> float:
    """Each text through the whole model, one at a time."""
    image = [model.config.image_token_index] * model.config.num_query_tokens
    total, count = 0.0, 0
    for rows in batch.groups:
        columns = (rows.pictures, rows.starts, rows.ids, rows.labels)
        for owner, start, ids, labels in zip(*columns, strict=True):
            places = [*range(len(image)), *range(len(image) + start, len(image) + start + len(ids))]
            logits = model(
                pixel_values=normalise(batch.pictures[owner : owner + 1]),
                input_ids=torch.tensor([[*image, *ids]]),
                position_ids=torch.tensor([places]),
            ).logits[0, len(image) :]
            target = torch.from_numpy(labels)
            total += F.cross_entropy(logits, target, reduction="sum", ignore_index=IGNORED).item()
            count += int((target != IGNORED).sum())
    return total / count


@torch.inference_mode()
def test_the_loss_is_that_of_each_text_behind_its_own_picture(clip: CLIPModel) -> None:
    torch.manual_seed(0)
    model = build_model(build_tokenizer(), clip)
    for weight in model.language_model.parameters():  # a new model says the same of everything
        if weight.ndim == 2:
            weight.normal_(std=0.3)
    model.language_projection.weight.normal_()
    rng = np.random.default_rng(0)
    batch = Writer(build_tokenizer()).batch(sample_scenes(2, rng), rng)
    expected = plain_loss(model, batch)
    assert batch_loss(model, batch).item() == pytest.approx(expected, rel=0.001)
    shown = replace(batch, pictures=batch.pictures[::-1].copy())
    moved = [replace(rows, starts=np.zeros_like(rows.starts)) for rows in batch.groups]
    for other in (shown, replace(batch, groups=moved)):
        assert batch_loss(model, other).item() != pytest.approx(expected, rel=0.002)


def test_the_tower_starts_near_clip(clip: CLIPModel, model: Blip2ForConditionalGeneration) -> None:
    pixels = normalise(retrieval_set(16).pictures)
    with torch.inference_mode():
        theirs = clip.vision_model(pixels)
        expected = clip.vision_model.post_layernorm(theirs.last_hidden_state)
        given = model.vision_model(pixels).last_hidden_state
    similarity = torch.cosine_similarity(expected, given, dim=-1)
    assert similarity.mean() > 0.95


def test_queries_differ_from_the_start(model: Blip2ForConditionalGeneration) -> None:
    assert model.query_tokens[0].std(dim=0).mean() > 0.3


def test_input_and_output_embeddings_are_one(model: Blip2ForConditionalGeneration) -> None:
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
