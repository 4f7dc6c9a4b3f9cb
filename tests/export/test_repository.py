from pathlib import Path

import pytest

from triptych_export.errors import RepositoryError
from triptych_export.repository import check_free, install, staging


def fill(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(content)


def test_staged_folders_replace_those_of_the_same_name(tmp_path: Path) -> None:
    fill(tmp_path / "a-image", "old")
    fill(tmp_path / "b-image", "other")
    with staging(tmp_path) as staged:
        fill(staged / "a-image", "new")
        fill(staged / "a-text", "new")
        install(staged, tmp_path, ["a-image", "a-text"])
    contents = {folder.name: (folder / "config.pbtxt").read_text() for folder in tmp_path.iterdir()}
    assert contents == {"a-image": "new", "a-text": "new", "b-image": "other"}


def test_what_fails_while_staged_leaves_nothing(tmp_path: Path) -> None:
    repository = tmp_path / "new" / "repository"
    with pytest.raises(RuntimeError), staging(repository) as staged:
        fill(staged / "a-image", "half")
        raise RuntimeError
    assert list(repository.iterdir()) == []


def test_a_repository_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RepositoryError, match="file/repository: cannot write into it"),
        staging(tmp_path / "file" / "repository"),
    ):
        pass


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "ein Modell"])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RepositoryError, match="is no model name"):
        check_free(tmp_path, name, [f"{name}-image"], overwrite=False)


def test_a_taken_name_is_free_only_to_overwrite(tmp_path: Path) -> None:
    fill(tmp_path / "a-text", "old")
    with pytest.raises(RepositoryError, match="a-text is there already"):
        check_free(tmp_path, "a", ["a-image", "a-text"], overwrite=False)
    check_free(tmp_path, "a", ["a-image", "a-text"], overwrite=True)
