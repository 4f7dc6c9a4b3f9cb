"""Durable renames and removals of directories."""

import os
import shutil
from pathlib import Path


def fsync(path: Path) -> None:
    """Bring a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(draft: Path, final: Path) -> None:
    """Rename a directory, with what it holds wholly on disk before and its new name after."""
    for file in draft.iterdir():
        fsync(file)
    fsync(draft)
    draft.rename(final)
    fsync(final.parent)


def remove(directory: Path, trash: Path) -> None:
    """Remove a directory; whatever fails, it is left whole or under the name `trash`."""
    shutil.rmtree(trash, ignore_errors=True)
    directory.rename(trash)
    fsync(trash.parent)
    shutil.rmtree(trash, ignore_errors=True)
