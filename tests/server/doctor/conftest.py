"""A repository to examine."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from findings import Findings, by_subject

from triptych_server.doctor.engines import examine_engines
from triptych_server.settings import SHIPPED_REPOSITORY, Settings


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the shipped repository, with its generators beside it."""
    shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "models")
    shutil.copytree(SHIPPED_REPOSITORY.parent / "generators", tmp_path / "generators")
    return tmp_path / "models"


@pytest.fixture
def engines(tmp_path: Path, repository: Path) -> Callable[..., Findings]:
    """Examine the engines that settings name, by default in process on the repository."""

    def examine(*, load: bool = False, timeout_s: float = 60, **settings: object) -> Findings:
        defaults = {"repository": repository, "data": tmp_path / "data"}
        given = Settings.load(**(defaults | settings))
        return by_subject(examine_engines(given, load=load, timeout_s=timeout_s))

    return examine
