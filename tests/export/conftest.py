"""Tiny checkpoints of every family with random weights, and their exports; made once a session."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from triptych_export.pipeline import export_clip
from triptych_export.random_checkpoint import ARCHITECTURES, TINY, write_random_checkpoint
from triptych_export.report import ExportReport


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Architecture to the directory of its tiny checkpoint. Copy before you change one."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture in ARCHITECTURES:
        write_random_checkpoint(architecture, root / architecture, size=TINY)
    return {architecture: root / architecture for architecture in ARCHITECTURES}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model repository into which `exports` go."""
    return tmp_path_factory.mktemp("model_repository")


@pytest.fixture(scope="session")
def exports(checkpoints: Mapping[str, Path], repository: Path) -> Mapping[str, ExportReport]:
    """Architecture to the report of its fp32 export."""
    return {
        architecture: export_clip(checkpoint, repository)
        for architecture, checkpoint in checkpoints.items()
    }
