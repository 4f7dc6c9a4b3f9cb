"""Tiny checkpoints of every family with random weights, and their exports; made once a session."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from triptych_export.pipeline import export_blip2, export_clip
from triptych_export.random_checkpoint import ARCHITECTURES, write_random_checkpoint
from triptych_export.report import ExportReport

BLIP2 = ("blip2-opt-125m", "blip2-itm-vit-g")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Architecture to the directory of its tiny checkpoint. Copy before you change one."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture, kind in ARCHITECTURES.items():
        write_random_checkpoint(architecture, root / architecture, size=kind.tiny)
    return {architecture: root / architecture for architecture in ARCHITECTURES}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model repository into which `exports` go."""
    return tmp_path_factory.mktemp("model_repository")


@pytest.fixture(scope="session")
def exports(checkpoints: Mapping[str, Path], repository: Path) -> Mapping[str, ExportReport]:
    """Architecture to the report of its fp32 export; all but BLIP-2's."""
    return {
        architecture: export_clip(checkpoint, repository)
        for architecture, checkpoint in checkpoints.items()
        if architecture not in BLIP2
    }


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the language model of `generation` goes."""
    return tmp_path_factory.mktemp("generators")


@pytest.fixture(scope="session")
def generation(checkpoints: Mapping[str, Path], repository: Path, generators: Path) -> ExportReport:
    """The report of a whole `Blip2ForConditionalGeneration`."""
    return export_blip2(checkpoints["blip2-opt-125m"], repository, generators=generators)


@pytest.fixture(scope="session")
def retrieval(checkpoints: Mapping[str, Path], repository: Path) -> ExportReport:
    """The report of a whole `Blip2ForImageTextRetrieval`."""
    return export_blip2(checkpoints["blip2-itm-vit-g"], repository)
