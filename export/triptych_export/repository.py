"""Put finished encoders into a model repository, whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from triptych_export.errors import RepositoryError
from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_free(repository: Path, model: str, folders: Sequence[str], overwrite: bool) -> None:
    """Raise `RepositoryError` for a bad name, or one that is taken and may not be replaced."""
    if not _NAME.fullmatch(model):
        raise RepositoryError(f"{model!r} is no model name: letters, digits, '.', '_' and '-' only")
    taken = [folder for folder in folders if (repository / folder).exists()]
    if taken and not overwrite:
        raise RepositoryError(f"{repository}: {taken[0]} is there already; overwrite or rename it")


def outdated(repository: Path, model: str, space: str) -> list[str]:
    """The folders of `model` whose encoders are of another space, and so of another checkpoint."""
    return [
        name
        for name, entry in read_repository(repository)
        if isinstance(entry, RepositoryEntry)
        and entry.spec.model == model
        and entry.spec.space != space
    ]


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


@contextmanager
def installed(
    staged: Path, repository: Path, folders: Sequence[str], removed: Sequence[str] = ()
) -> Iterator[None]:
    """Rename `folders` of `staged` into the repository, and the `removed` ones out of it.

    What they replace goes when `staged` goes. All is taken back if the block fails, or a renaming,
    for which it raises `RepositoryError`.
    """
    old = staged / ".old"  # no model has such a name
    old.mkdir()
    with ExitStack() as undo:

        def rename(source: Path, target: Path) -> None:
            os.rename(source, target)
            undo.callback(os.rename, target, source)

        try:
            for folder in dict.fromkeys([*folders, *removed]):
                if (repository / folder).exists():
                    rename(repository / folder, old / folder)
                if folder in folders:
                    rename(staged / folder, repository / folder)
        except OSError as error:
            raise RepositoryError(
                f"{repository}: {folder} cannot be replaced: {error.strerror}"
            ) from error
        yield
        undo.pop_all()
