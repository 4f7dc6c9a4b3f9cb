"""Put finished encoders into a model repository, whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from triptych_export.errors import RepositoryError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_free(repository: Path, model: str, folders: Sequence[str], overwrite: bool) -> None:
    """Raise `RepositoryError` for a bad name, or one that is taken and may not be replaced."""
    if not _NAME.fullmatch(model):
        raise RepositoryError(f"{model!r} is no model name: letters, digits, '.', '_' and '-' only")
    taken = [folder for folder in folders if (repository / folder).exists()]
    if taken and not overwrite:
        raise RepositoryError(f"{repository}: {taken[0]} is there already; overwrite or rename it")


@contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """An empty directory on the repository's file system, removed in the end.

    Raises `RepositoryError` where none can be made.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(prefix=".export-", dir=repository)
    except OSError as error:
        raise RepositoryError(f"{repository}: cannot write into it: {error.strerror}") from error
    with directory as path:
        yield Path(path)


def install(staged: Path, repository: Path, folders: Sequence[str]) -> None:
    """Rename `folders` of `staged` into the repository; the replaced ones go when `staged` goes."""
    replaced = staged / "replaced"
    replaced.mkdir()
    for folder in folders:
        target = repository / folder
        if target.exists():
            os.rename(target, replaced / folder)
        os.rename(staged / folder, target)
