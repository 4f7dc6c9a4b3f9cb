"""Embedded stores in temporary directories."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import StoreOpener


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[StoreOpener]:
    opener = StoreOpener(tmp_path / "data")
    yield opener
    await opener.close()
