from pathlib import Path

import pytest
from served import read_spec

from triptych_export.errors import RepositoryError
from triptych_export.repository import check_free, installed, outdated, staging
from triptych_server.settings import SHIPPED_REPOSITORY


def contents(repository: Path) -> dict[str, str]:
    """What was filled in, by folder; not what is staged."""
    files = sorted(repository.glob("[!.]*/config.pbtxt"))
    return {file.parent.name: file.read_text() for file in files}


def fill(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(content)


def test_staged_folders_replace_those_of_the_same_name(tmp_path: Path) -> None:
    fill(tmp_path / "a-image", "old")
    fill(tmp_path / "b-image", "other")
    fill(tmp_path / "a-itm", "old")
    with staging(tmp_path) as staged:
        fill(staged / "a-image", "new")
        fill(staged / "a-text", "new")
        with installed(staged, tmp_path, ["a-image", "a-text"], removed=["a-image", "a-itm"]):
            pass
    assert contents(tmp_path) == {"a-image": "new", "a-text": "new", "b-image": "other"}


def test_what_fails_behind_a_replacement_takes_it_back(tmp_path: Path) -> None:
    fill(tmp_path / "a-image", "old")
    fill(tmp_path / "a-itm", "old")
    with pytest.raises(RuntimeError), staging(tmp_path) as staged:
        fill(staged / "a-image", "new")
        with installed(staged, tmp_path, ["a-image"], removed=["a-itm"]):
            assert contents(tmp_path)["a-image"] == "new"
            raise RuntimeError
    assert contents(tmp_path) == {"a-image": "old", "a-itm": "old"}


def test_a_folder_that_cannot_be_renamed_leaves_all_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path / "a-image", "old")
    with (
        pytest.raises(RepositoryError, match="a-text cannot be replaced: No such file"),
        staging(tmp_path) as staged,
    ):
        fill(staged / "a-image", "new")
        with installed(staged, tmp_path, ["a-image", "a-text"]):
            pass
    assert contents(tmp_path) == {"a-image": "old"}


def test_encoders_of_another_checkpoint_are_outdated() -> None:
    spec = read_spec(SHIPPED_REPOSITORY / "miniworld-clip-image")
    assert outdated(SHIPPED_REPOSITORY, spec.model, spec.space) == []
    folders = ["miniworld-clip-image", "miniworld-clip-text"]
    assert outdated(SHIPPED_REPOSITORY, spec.model, "clip:another") == folders


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
