"""A real Triton, one with a model that it lacks, and one that is gone."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from findings import Findings, faults
from tritonclient.grpc import InferenceServerClient
from tritonserver import TritonServer

from triptych_server.doctor import Verdict
from triptych_server.settings import SHIPPED_REPOSITORY

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

Engines = Callable[..., Findings]


@pytest.fixture(scope="module")
def triton() -> Iterator[TritonServer]:
    with TritonServer(SHIPPED_REPOSITORY) as server:
        yield server


@pytest.fixture
def unloading(triton: TritonServer) -> Iterator[InferenceServerClient]:
    """To unload models with; all are loaded again afterwards."""
    with InferenceServerClient(triton.grpc) as client:
        yield client
        for folder in SHIPPED_REPOSITORY.iterdir():
            client.load_model(folder.name)


@pytest.mark.parametrize("load", [False, True])
def test_the_shipped_models_are_well(engines: Engines, triton: TritonServer, load: bool) -> None:
    found = engines(encoders=f"triton://{triton.grpc}", load=load)
    assert not faults(found)
    assert found[f"triton {triton.grpc}"][0].detail == "Triton 2.51.0, 5 of 5 models loaded"
    assert found["miniworld-clip"][0].detail.startswith("embedding (default), 128 numbers, space")


def test_an_asset_that_is_not_tritons_is_copied_from_there(
    engines: Engines, triton: TritonServer, repository: Path
) -> None:
    (repository / "miniworld-clip-text" / "tokenizer.json").write_text("{}")
    [fault] = faults(engines(encoders=f"triton://{triton.grpc}", assets=repository))
    assert fault.what == "miniworld-clip"
    assert fault.remedy.startswith("rsync -a ")
    assert fault.remedy.endswith(f"{repository}/miniworld-clip-text/")


def test_an_unloaded_model_is_told_with_the_call_that_loads_it(
    engines: Engines, triton: TritonServer, unloading: InferenceServerClient
) -> None:
    unloading.unload_model("miniworld-clip-text")
    while any(each.state == "UNLOADING" for each in unloading.get_model_repository_index().models):
        pass
    found = engines(encoders=f"triton://{triton.grpc}")
    assert "4 of 5 models loaded" in found[f"triton {triton.grpc}"][0].detail
    [fault] = faults(found)
    assert fault.what == f"miniworld-clip-text on {triton.grpc}"
    host = triton.grpc.partition(":")[0]
    load = f"curl -X POST http://{host}:8000/v2/repository/models/miniworld-clip-text/load"
    assert fault.remedy == load


def test_of_two_tritons_the_one_at_fault_is_named(engines: Engines, triton: TritonServer) -> None:
    found = engines(encoders=f"triton://{triton.grpc},127.0.0.1:1")
    [fault] = faults(found)
    assert (fault.what, fault.verdict) == ("triton 127.0.0.1:1", Verdict.PROBLEM)
    assert found["miniworld-clip"][0].verdict is Verdict.OK


def test_what_one_of_two_tritons_lacks_is_told(
    engines: Engines, triton: TritonServer, tmp_path: Path
) -> None:
    shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "miniworld-blip2-image-prefix")
    with TritonServer(tmp_path / "other") as other:
        found = engines(encoders=f"triton://{triton.grpc},{other.grpc}")
    [lacking] = [f for f in faults(found) if f.what == f"triton {other.grpc}"]
    assert lacking.detail == "lacks miniworld-blip2-image-prefix, which others have loaded"
