"""The search for layers that must stay in fp32, on networks in which some were made to overflow."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from towers import write_image_tower
from transformers import CLIPModel

from triptych_export.casts import REDUCED
from triptych_export.errors import ParityError
from triptych_export.keep_fp32 import Trials
from triptych_export.mixed import AUTO, write_mixed
from triptych_export.outliers import plant_attention_outlier, plant_residual_outlier
from triptych_export.parity import FLOORS, Precision
from triptych_export.random_checkpoint import TINY, write_random_checkpoint

BLOCKS = "vision_model.encoder.layers"


def overflow_queries(layers: Any) -> None:
    plant_attention_outlier(layers[1], 2.0**20)
    plant_attention_outlier(layers[3], 2.0**20)


def overflow_residuals(layers: Any) -> None:
    plant_residual_outlier(layers, first=1, last=2, size=1e5)


PLANTED: Mapping[str, tuple[Callable[[Any], None], set[str]]] = {
    "queries": (overflow_queries, {f"{BLOCKS}.1.self_attn", f"{BLOCKS}.3.self_attn"}),
    "residuals": (
        overflow_residuals,
        {f"{BLOCKS}.{block}.{part}" for block in (1, 2) for part in ("mlp", "residual")},
    ),
}


class Case:
    """The image tower of a CLIP of four blocks with outliers, as an fp32 graph and its samples."""

    def __init__(self, directory: Path, plant: Callable[[Any], None]) -> None:
        write_random_checkpoint("clip-vit-b32", directory, size=replace(TINY, layers=4))
        model = CLIPModel.from_pretrained(directory)
        plant(model.vision_model.encoder.layers)
        model.save_pretrained(directory)
        self.source = directory / "model.onnx"
        self.samples = write_image_tower(directory, self.source).samples()

    def trials(self, precision: Precision) -> Trials:
        return Trials(self.source, REDUCED[precision], "features", self.samples)

    def write(self, precision: Precision, keep: Collection[str]) -> tuple[str, ...]:
        target = self.source.with_name("reduced.onnx")
        return write_mixed(self.source, target, precision, keep, "features", self.samples).kept


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Case]:
    return {
        name: Case(tmp_path_factory.mktemp(name), plant) for name, (plant, _) in PLANTED.items()
    }


@pytest.mark.parametrize("planted", PLANTED)
def test_the_smallest_set_is_what_was_planted(cases: Mapping[str, Case], planted: str) -> None:
    trials = cases[planted].trials(Precision.FP16)
    kept = trials.smallest()
    assert kept == PLANTED[planted][1]
    assert trials.compare(kept).failures(FLOORS[Precision.FP16]) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_no_member_of_the_smallest_set_can_go(cases: Mapping[str, Case], planted: str) -> None:
    trials, kept = cases[planted].trials(Precision.FP16), PLANTED[planted][1]
    for layer in kept:
        assert trials.compare(kept - {layer}).failures(FLOORS[Precision.FP16])


def test_bf16_has_the_range_for_queries(cases: Mapping[str, Case]) -> None:
    assert cases["queries"].trials(Precision.BF16).smallest() == set()


def test_where_nothing_overflows_the_most_harmful_layers_are_tried_first(
    cases: Mapping[str, Case],
) -> None:
    """In bf16 a sum near 100,000 is a multiple of 512."""
    trials = cases["residuals"].trials(Precision.BF16)
    assert trials.overflowing == {}
    kept = trials.smallest()
    assert 0 < len(kept) < len(trials.layers) / 2
    assert trials.compare(kept).failures(FLOORS[Precision.BF16]) == []
    for layer in kept:
        assert trials.compare(kept - {layer}).failures(FLOORS[Precision.BF16])


def test_a_refusal_names_the_worst_layer_and_the_way_out(cases: Mapping[str, Case]) -> None:
    with pytest.raises(ParityError) as error:
        cases["queries"].write(Precision.FP16, [])
    assert "cosine nan < 0.999" in str(error.value)
    assert "the worst layer is vision_model.encoder.layers." in str(error.value)
    assert "whose values reach" in str(error.value)
    assert "(fp16 ends at 65504); `--keep-fp32 auto` finds the fewest" in str(error.value)


def test_layers_that_are_not_enough_are_refused_with_the_one_that_lacks(
    cases: Mapping[str, Case],
) -> None:
    with pytest.raises(ParityError, match=rf"the worst layer is {BLOCKS}\.3\.self_attn"):
        cases["queries"].write(Precision.FP16, [f"{BLOCKS}.1"])


def test_rounding_alone_is_refused_with_the_layer_that_does_most(
    cases: Mapping[str, Case],
) -> None:
    with pytest.raises(ParityError, match=r"which alone moves the output by \d\.\de"):
        cases["residuals"].write(Precision.BF16, [])


def test_auto_and_names_write_the_same(cases: Mapping[str, Case]) -> None:
    case = cases["queries"]
    found = case.write(Precision.FP16, [AUTO])
    written = case.source.with_name("reduced.onnx").read_bytes()
    assert case.write(Precision.FP16, found) == found
    assert case.source.with_name("reduced.onnx").read_bytes() == written
