"""Folders that change as a whole."""

import os
import sys
from pathlib import Path

import pytest

from triptych.folders import take_place_of


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_folder_takes_a_name_that_is_free(tmp_path: Path) -> None:
    take_place_of(tmp_path / "name", folder(tmp_path / "new", "new"))
    assert os.listdir(tmp_path) == ["name"]


# Other systems rename one after the other, as is done here where a file system cannot exchange.
@pytest.mark.parametrize("platform", [sys.platform, "other"])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    old, new = folder(tmp_path / "name", "old"), folder(tmp_path / "new", "new")
    take_place_of(old, new)
    assert (old / "file").read_text() == "new"
    assert (new / "file").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["name", "new"]


def test_what_cannot_be_renamed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take_place_of(folder(tmp_path / "name", "old"), tmp_path / "missing")
    assert (tmp_path / "name" / "file").read_text() == "old"
