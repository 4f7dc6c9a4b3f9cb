from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.neighbours import neighbours
from triptych_export.miniworld.world import Scene, same
from triptych_export.training.clip_batches import Batch
from triptych_export.training.clip_hardening import MINED, HardeningTask

CHECKPOINT = Path(__file__).parents[3] / "export/checkpoints/miniworld-clip"


@pytest.fixture(scope="module")
def task() -> HardeningTask:
    torch.set_num_threads(1)
    return HardeningTask(CHECKPOINT)


@pytest.fixture(scope="module")
def batch(task: HardeningTask) -> Batch:
    return task.sample(np.random.default_rng(0))


def scenes_of(batch: Batch, language: str) -> list[Scene]:
    told = [parse(text) for text in batch.captions[language].texts]
    assert None not in told
    return [scene for scene in told if scene is not None]


def test_it_starts_from_the_checkpoint(task: HardeningTask) -> None:
    shipped = CLIPModel.from_pretrained(CHECKPOINT).state_dict()
    state = task.model.state_dict()
    assert set(state) == set(shipped)
    assert all(torch.equal(state[name], weight) for name, weight in shipped.items())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_picture_has_the_false_captions_that_were_found(batch: Batch, language: str) -> None:
    count = len(batch.pictures)
    scenes = scenes_of(batch, language)
    true, found = scenes[:count], scenes[count : count * (1 + MINED)]
    near = 0
    for index, scene in enumerate(true):
        own = found[index * MINED : (index + 1) * MINED]
        assert not any(same(scene, false) for false in own)
        near += any(same(own[0], other) for other in neighbours(scene))
    assert near > count / 2


def test_both_languages_tell_the_same(batch: Batch) -> None:
    count = len(batch.pictures) * (1 + MINED)
    pairs = zip(scenes_of(batch, "en")[:count], scenes_of(batch, "zh")[:count], strict=True)
    assert all(same(one, other) for one, other in pairs)


def test_only_texts_that_are_true_elsewhere_are_left_out(batch: Batch) -> None:
    told = scenes_of(batch, "en")
    clashes = batch.captions["en"].clashes
    for row in range(len(batch.pictures)):
        expected = [same(told[row], other) and row != at for at, other in enumerate(told)]
        assert clashes[row].tolist() == expected


def test_the_loss_reaches_both_towers(task: HardeningTask) -> None:
    task.loss(np.random.default_rng(1)).backward()
    for weight in (task.model.visual_projection.weight, task.model.text_projection.weight):
        assert weight.grad is not None
        assert weight.grad.abs().max() > 0
    task.model.zero_grad()
