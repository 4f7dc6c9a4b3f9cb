"""What can be tested of plans where there is no TensorRT: which way is taken, and how it fails."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest
from served import read_config, read_spec

from triptych_export.errors import PlanError
from triptych_export.pipeline import export_clip
from triptych_export.plan import TRTEXEC_DIRECTORY, Trtexec, find_builder
from triptych_export.profiles import Profile
from triptych_export.random_checkpoint import TINY, write_random_checkpoint
from triptych_server.engines.encoders.onnx import OnnxEngine

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None or Path(TRTEXEC_DIRECTORY).exists(),
    reason="there is a TensorRT here",
)
PROFILES = [
    Profile({"input_ids": (1, 1)}, {"input_ids": (8, 8)}, {"input_ids": (64, 8)}),
    Profile({"input_ids": (1, 9)}, {"input_ids": (8, 16)}, {"input_ids": (64, 16)}),
]


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the PATH, which is empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return directory


def write_trtexec(path: Path, script: str) -> None:
    command = path / "trtexec"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def test_trtexec_gets_types_shapes_and_limits(tmp_path: Path) -> None:
    arguments = Trtexec("trtexec").arguments(Path("model.onnx"), Path("model.plan"), PROFILES)
    assert arguments == [
        "trtexec",
        "--onnx=model.onnx",
        "--saveEngine=model.plan",
        "--stronglyTyped",
        "--noTF32",
        "--profile=0",
        "--minShapes=input_ids:1x1",
        "--optShapes=input_ids:8x8",
        "--maxShapes=input_ids:64x8",
        "--profile=1",
        "--minShapes=input_ids:1x9",
        "--optShapes=input_ids:8x16",
        "--maxShapes=input_ids:64x16",
        "--memPoolSize=workspace:4096",
        f"--timingCacheFile={tmp_path / 'cache' / 'triptych' / 'tensorrt.timing'}",
        "--skipInference",
    ]
    assert (tmp_path / "cache" / "triptych").is_dir()


def test_plans_are_built_where_trtexec_is(path: Path) -> None:
    assert find_builder() is None
    write_trtexec(path, "exit 1")
    assert find_builder() == Trtexec(str(path / "trtexec"))


def test_a_failing_trtexec_is_told_with_its_errors(path: Path, tmp_path: Path) -> None:
    write_trtexec(path, 'echo "[I] reading $1"; echo "[E] layers.3.mlp/Gelu_7: no" >&2; exit 3')
    with pytest.raises(PlanError) as error:
        Trtexec(str(path / "trtexec")).build(tmp_path / "a.onnx", tmp_path / "a.plan", PROFILES)
    assert str(error.value) == "trtexec failed (status 3):\n[E] layers.3.mlp/Gelu_7: no"


def test_a_trtexec_without_a_word_of_error_is_told_by_its_last_lines(
    path: Path, tmp_path: Path
) -> None:
    write_trtexec(path, 'for line in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo "line $line"; done')
    with pytest.raises(PlanError) as error:
        Trtexec(str(path / "trtexec")).build(tmp_path / "a.onnx", tmp_path / "a.plan", PROFILES)
    assert str(error.value).startswith("trtexec failed (no plan written):\nline 2\n")
    assert str(error.value).endswith("\nline 13")


def test_a_trtexec_of_another_machine_is_told(path: Path, tmp_path: Path) -> None:
    (path / "trtexec").write_bytes(b"\x7fELF")
    (path / "trtexec").chmod(0o755)
    with pytest.raises(PlanError, match="trtexec cannot be run: Exec format error"):
        Trtexec(str(path / "trtexec")).build(tmp_path / "a.onnx", tmp_path / "a.plan", PROFILES)


def test_a_cache_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(PlanError, match="file/triptych: cannot be made: Not a directory; XDG_"):
        Trtexec("trtexec").build(tmp_path / "a.onnx", tmp_path / "a.plan", PROFILES)


def test_a_failing_build_leaves_the_repository_as_it_was(
    checkpoints: Mapping[str, Path], tmp_path: Path, path: Path
) -> None:
    repository = tmp_path / "repository"
    write_trtexec(path, 'echo "$@"; echo "[E] no GPU"; exit 1')
    with pytest.raises(PlanError, match="no GPU"):
        export_clip(checkpoints["dinov2-base"], repository, precision="fp16", format="tensorrt")
    assert list(repository.iterdir()) == []


def read_accelerator(folder: Path) -> Mapping[str, str]:
    config = read_config(folder)
    assert config.backend == "onnxruntime"
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    return dict(accelerator.parameters)


async def test_without_tensorrt_tritons_accelerator_runs_the_graph(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    report = export_clip(checkpoints["dinov2-base"], tmp_path, precision="fp16", format="tensorrt")
    assert "no TensorRT plans, for neither the tensorrt package nor trtexec" in str(report)
    folder = tmp_path / report.encoders[0].folder
    assert [file.name for file in (folder / "1").iterdir()] == ["model.onnx"]
    options = read_accelerator(folder)
    assert options["trt_profile_max_shapes"] == "pixels:64x32x32x3"
    assert "precision_mode" not in options  # it would overrule the graph's types
    assert read_spec(folder).precision == "fp16"
    engine = OnnxEngine(tmp_path, threads=1, queue_rows=8)
    await engine.load()
    await engine.ready(folder.name)
    await engine.close()


def test_other_weights_have_other_cached_engines(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    """The accelerator itself would take the one for the other: their nodes have the same names."""
    write_random_checkpoint("dinov2-base", tmp_path / "finetuned", size=TINY, seed=1)
    prefixes = set()
    for checkpoint in (checkpoints["dinov2-base"], tmp_path / "finetuned"):
        report = export_clip(checkpoint, tmp_path / "models", format="tensorrt")
        options = read_accelerator(tmp_path / "models" / report.encoders[0].folder)
        prefixes.add(options["trt_engine_cache_prefix"])
    assert len(prefixes) == 2
