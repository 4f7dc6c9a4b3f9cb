"""Models to be spoiled."""

import shutil
from pathlib import Path

import pytest

from triptych_server.settings import SHIPPED_REPOSITORY


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the shipped repository, to be spoiled."""
    return Path(shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "models"))
