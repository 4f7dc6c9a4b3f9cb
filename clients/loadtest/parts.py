"""Folders that are made once and kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def part_of(folder: Path) -> Iterator[Path]:
    """A free path beside `folder` to write to; it becomes `folder` if the block succeeds.

    So `folder` is whole wherever it exists, also after a run that was killed.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    yield part
    part.rename(folder)
