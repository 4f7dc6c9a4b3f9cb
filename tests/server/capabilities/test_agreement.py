"""Networks that bear one name and are no model."""

from dataclasses import replace
from pathlib import PurePath

import pytest
from tiny_blip2 import HIDDEN, PREFIX, SPACE, write_matcher, write_prefix

from triptych_server.capabilities.agreement import encoders_disagree, generators_disagree
from triptych_server.engines.encoders import EncoderSpec
from triptych_server.engines.encoders.repository import read_config
from triptych_server.engines.encoders.spec import spec_from_config
from triptych_server.engines.generators.spec import Asset, FolderSpec, Templates

GENERATOR = FolderSpec(
    name="decoder",
    model="tiny",
    family="opt",
    source="tests",
    precision="fp32",
    space=SPACE,
    prefix_tokens=PREFIX,
    max_prefixes=1,
    context_length=64,
    vocabulary=100,
    hidden_size=HIDDEN,
    layers=1,
    key_value_heads=1,
    head_size=8,
    begin_id=0,
    end_ids=(0,),
    beams=True,
    scoring=True,
    templates=Templates(),
    tokenizer=Asset(PurePath("tokenizer.json"), "0"),
    embedding=Asset(PurePath("embedding.npy"), "0"),
)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> list[EncoderSpec]:
    """Vision, ITM and prefix encoders of one checkpoint."""
    folder = tmp_path_factory.mktemp("repository")
    write_matcher(folder, "tiny")
    write_prefix(folder / "tiny-prefix", "tiny")
    configs = [read_config(path) for path in sorted(folder.glob("*/config.pbtxt"))]
    return [spec_from_config(config, "1") for config in configs]


def test_parts_of_one_checkpoint_agree(specs: list[EncoderSpec]) -> None:
    assert encoders_disagree("tiny", specs) == ""
    assert generators_disagree("tiny", [GENERATOR], specs) == ""
    assert generators_disagree("tiny", [], specs) == ""
    assert generators_disagree("tiny", [GENERATOR], []) == ""


def test_patches_of_another_tower_do_not_fit(specs: list[EncoderSpec]) -> None:
    stranger = replace(specs[0], patch_space="another")
    assert "tiny-vision" in encoders_disagree("tiny", [stranger, *specs[1:]])
    wider = replace(specs[0], patches=(4, 5))
    assert "of different patches" in encoders_disagree("tiny", [wider, *specs[1:]])


@pytest.mark.parametrize("space", ["blip_2:another", ""])
def test_a_generator_of_another_space_is_named_with_its_encoder(
    specs: list[EncoderSpec], space: str
) -> None:
    reason = generators_disagree("tiny", [replace(GENERATOR, space=space)], specs)
    assert "decoder" in reason
    assert specs[0].name in reason
    assert SPACE in reason
    assert space in reason


@pytest.mark.parametrize("change", [{"prefix_tokens": PREFIX + 1}, {"hidden_size": HIDDEN * 2}])
def test_a_generator_of_other_prefixes_is_named_with_its_encoder(
    specs: list[EncoderSpec], change: dict[str, int]
) -> None:
    reason = generators_disagree("tiny", [replace(GENERATOR, **change)], specs)
    assert "decoder" in reason
    assert "tiny-prefix" in reason
    assert f"[{PREFIX}, {HIDDEN}]" in reason


def test_two_generators_are_no_model(specs: list[EncoderSpec]) -> None:
    reason = generators_disagree("tiny", [GENERATOR, replace(GENERATOR, name="second")], specs)
    assert "more than one generator: decoder, second" in reason
