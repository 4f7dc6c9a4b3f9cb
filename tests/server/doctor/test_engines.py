"""Engines in process and absent ones, models, and the collections that need them."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from findings import Findings, faults
from onnx import TensorProto, helper
from stores import StoreOpener, create_collection
from tiny_encoders import DIMENSION, FEATURES, IMAGE, IMAGE_INPUTS, SIDE, network, write_encoder

from triptych_server.doctor import Finding, Verdict
from triptych_server.doctor.models import export_command
from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository
from triptych_server.engines.generators.spec import read_spec
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

Engines = Callable[..., Findings]


def the_fault(findings: Findings) -> Finding:
    [fault] = faults(findings)
    assert fault.verdict is Verdict.PROBLEM
    return fault


def write_broken_image_encoder(folder: Path) -> None:
    """An encoder whose weights overflowed."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIMENSION])
    weight = np.full((SIDE * SIDE * 3, DIMENSION), np.nan, np.float32)
    write_encoder(
        folder / "1",
        network(nodes, [pixels], features, {"weight": weight}),
        inputs=IMAGE_INPUTS,
        output=FEATURES,
        parameters=IMAGE | {"model": "broken"},
    )


def edit(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


@pytest.mark.parametrize("load", [False, True])
def test_the_shipped_models_are_well(engines: Engines, load: bool) -> None:
    found = engines(load=load)
    assert not faults(found)
    assert "5 in " in found["in process"][0].detail
    assert found["miniworld-clip"][0].detail.startswith("embedding (default), 128 numbers, space")
    assert "text about pictures" in found["miniworld-blip2"][0].detail
    assert "image-text matching (default)" in found["miniworld-blip2-itm"][0].detail


def test_a_corrupt_tokenizer_is_named_with_the_export_that_mends_it(
    engines: Engines, repository: Path
) -> None:
    (repository / "miniworld-clip-text" / "tokenizer.json").write_text("{}")
    fault = the_fault(engines())
    assert fault.what == "miniworld-clip"
    assert "tokenizer.json" in fault.detail
    assert fault.remedy.startswith(
        f"triptych export clip miniworld-clip --repository {repository} "
    )


def test_what_a_config_says_is_quoted_in_a_command(engines: Engines, repository: Path) -> None:
    config = repository / "miniworld-clip-text" / "config.pbtxt"
    edit(
        config,
        'value {\n    string_value: "miniworld-clip"',
        'value {\n    string_value: "$(rm *)"',
    )
    other = repository / "miniworld-clip-image" / "config.pbtxt"
    edit(
        other, 'value {\n    string_value: "miniworld-clip"', 'value {\n    string_value: "$(rm *)"'
    )
    (repository / "miniworld-clip-text" / "tokenizer.json").write_text("{}")
    [fault] = faults(engines())
    assert "export clip '$(rm *)' --repository" in fault.remedy


@pytest.mark.parametrize("content", [None, b""])
def test_missing_weights_are_named(
    engines: Engines, repository: Path, content: bytes | None
) -> None:
    network = repository / "miniworld-clip-image" / "1" / "model.onnx"
    network.unlink()
    if content is not None:
        network.write_bytes(content)
    assert "miniworld-clip-image: 1/model.onnx is missing or empty" in the_fault(engines()).detail


def test_damaged_weights_are_found_by_loading_them(engines: Engines, repository: Path) -> None:
    (repository / "miniworld-clip-image" / "1" / "model.onnx").write_bytes(b"no network")
    assert not faults(engines())
    assert "cannot be loaded" in the_fault(engines(load=True)).detail


def test_an_encoder_that_gives_no_numbers_is_found_by_computing(
    engines: Engines, repository: Path
) -> None:
    write_broken_image_encoder(repository / "broken-image")
    assert not faults(engines())
    fault = the_fault(engines(load=True))
    assert fault.what == "broken"
    assert "NaN" in fault.detail


@pytest.mark.parametrize("load", [False, True])
def test_a_plan_needs_a_triton(engines: Engines, repository: Path, load: bool) -> None:
    config = repository / "miniworld-clip-image" / "config.pbtxt"
    edit(config, 'backend: "onnxruntime"', 'platform: "tensorrt_plan"')
    shutil.move(
        repository / "miniworld-clip-image/1/model.onnx",
        repository / "miniworld-clip-image/1/model.plan",
    )
    fault = the_fault(engines(load=load))
    assert "tensorrt_plan" in fault.detail
    assert f"tritonserver --model-repository {repository}" in fault.remedy
    assert "triptych serve --encoders triton://" in fault.remedy


def test_two_spaces_under_one_model_are_one_fault(engines: Engines, repository: Path) -> None:
    edit(repository / "miniworld-clip-text" / "config.pbtxt", "clip:", "clip:0")
    fault = the_fault(engines())
    assert fault.what == "miniworld-clip"
    assert "different spaces" in fault.detail
    assert fault.remedy.startswith("triptych export clip ")


def test_a_config_that_cannot_be_read_names_its_file(engines: Engines, repository: Path) -> None:
    config = repository / "miniworld-clip-text" / "config.pbtxt"
    config.write_text("nonsense {")
    fault = the_fault(engines())
    assert (fault.area, fault.what) == ("encoders", "miniworld-clip-text")
    assert str(config) in fault.remedy


def test_a_missing_parameter_is_named(engines: Engines, repository: Path) -> None:
    edit(repository / "miniworld-clip-text" / "config.pbtxt", "triptych.pad_id", "triptych.pad")
    assert "triptych.pad_id" in the_fault(engines()).detail


def test_models_of_others_are_passed_over(engines: Engines, repository: Path) -> None:
    (repository / "stranger").mkdir()
    (repository / "stranger" / "config.pbtxt").write_text('backend: "python"')
    assert not faults(engines())


@pytest.mark.parametrize("file", ["tokenizer.json", "embedding.npy"])
def test_a_corrupt_file_of_a_generator_is_named(
    engines: Engines, repository: Path, file: str
) -> None:
    with (repository.parent / "generators" / "miniworld-blip2" / file).open("ab") as opened:
        opened.write(b" ")
    fault = the_fault(engines())
    assert (fault.what, file in fault.detail) == ("miniworld-blip2", True)
    assert f"--generators {repository.parent / 'generators'} --overwrite" in fault.remedy


def test_a_generator_without_its_network_is_named(engines: Engines, repository: Path) -> None:
    (repository.parent / "generators" / "miniworld-blip2" / "model.onnx").unlink()
    assert "model.onnx is missing" in the_fault(engines()).detail


def test_a_generator_of_another_space_is_named(engines: Engines, repository: Path) -> None:
    spec = repository.parent / "generators" / "miniworld-blip2" / "generator.json"
    content: dict[str, Any] = json.loads(spec.read_text()) | {"space": "blip_2:other"}
    spec.write_text(json.dumps(content))
    assert "is of the space blip_2:other" in the_fault(engines()).detail


def test_a_description_of_a_generator_that_cannot_be_read_is_named(
    engines: Engines, repository: Path
) -> None:
    (repository.parent / "generators" / "miniworld-blip2" / "generator.json").write_text("{")
    fault = the_fault(engines())
    assert (fault.area, fault.what) == ("generators", "miniworld-blip2")


def test_a_default_that_cannot_do_it_is_named_with_one_that_can(engines: Engines) -> None:
    fault = the_fault(engines(default_model="miniworld-blip2"))
    assert fault.what == "default_model"
    assert fault.remedy == "export TRIPTYCH_DEFAULT_MODEL=miniworld-clip"


def test_no_repository_and_an_empty_one_are_told(engines: Engines, tmp_path: Path) -> None:
    assert "no directory" in the_fault(engines(repository=tmp_path / "none")).detail
    (tmp_path / "empty" / "models").mkdir(parents=True)
    fault = the_fault(engines(repository=tmp_path / "empty" / "models"))
    assert fault.detail == "there is no model"
    assert fault.remedy.startswith("triptych export ")


def test_the_shipped_repository_is_mended_by_installing_again() -> None:
    [(_, entry), *_] = read_repository(SHIPPED_REPOSITORY)
    assert isinstance(entry, RepositoryEntry)
    assert export_command(Settings(), entry.spec).startswith("pip install --force-reinstall")


def test_a_generator_beside_the_shipped_repository_is_mended_where_it_lies(tmp_path: Path) -> None:
    spec = read_spec(SHIPPED_REPOSITORY.parent / "generators" / "miniworld-blip2")
    command = export_command(Settings(generators=tmp_path / "generators"), spec)
    assert f"--generators {tmp_path / 'generators'}" in command
    assert f"--repository {tmp_path / 'models'}" in command


async def test_a_collection_of_a_foreign_space_is_told(engines: Engines, tmp_path: Path) -> None:
    opener = StoreOpener(tmp_path / "data")
    await create_collection(opener(), "photos", 8)
    await opener.close()
    # On a thread, since it runs an event loop of its own.
    fault = the_fault(await asyncio.to_thread(engines))
    assert (fault.area, fault.what) == ("data", "photos")
    assert "its model m is not served" in fault.detail


async def test_collections_are_not_judged_while_no_engine_answers(
    engines: Engines, tmp_path: Path
) -> None:
    opener = StoreOpener(tmp_path / "data")
    await create_collection(opener(), "photos", 8)
    await opener.close()
    found = await asyncio.to_thread(engines, encoders="triton://127.0.0.1:1")
    assert [fault.area for fault in faults(found)] == ["encoders"]
    assert found["1 collections"][0].verdict is Verdict.OK


def test_without_search_no_collection_is_looked_at(engines: Engines, tmp_path: Path) -> None:
    (tmp_path / "data" / "collections" / "photos").mkdir(parents=True)
    (tmp_path / "data" / "collections" / "photos" / "items.sqlite3").write_bytes(b"broken")
    assert [fault.what for fault in faults(engines())] == ["photos"]
    assert not faults(engines(services="embedding"))


def test_each_triton_that_does_not_answer_is_told_by_itself(engines: Engines) -> None:
    found = faults(engines(encoders="triton://127.0.0.1:1,127.0.0.1:2"))
    assert [fault.what for fault in found] == ["triton 127.0.0.1:1", "triton 127.0.0.1:2"]
    assert "Connection refused" in found[0].detail
    assert found[0].remedy.startswith("curl ")


@pytest.mark.parametrize("url", ["nowhere.invalid:8001", "127.0.0.1:1,localhost:1", "127.0.0.1"])
def test_a_name_of_no_triton_is_told(engines: Engines, url: str) -> None:
    fault = the_fault(engines(encoders=f"triton://{url}"))
    assert fault.what == f"triton://{url}"
