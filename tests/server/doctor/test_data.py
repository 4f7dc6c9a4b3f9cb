import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import StoreOpener, create_collection

from triptych_server.doctor import Finding, Verdict
from triptych_server.doctor.data import (
    collections,
    examine_directory,
    holder,
    read_collections,
    room,
)
from triptych_server.doctor.machine import GIB
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.engines.collections.protocol import Collection


@pytest.fixture
async def opener(tmp_path: Path) -> AsyncIterator[StoreOpener]:
    opener = StoreOpener(tmp_path / "data")
    yield opener
    await opener.close()


@pytest.fixture
async def store(opener: StoreOpener) -> LocalCollectionStore:
    """A store that is open, with the collection `photos` of the model `m` and the space `s`."""
    store = opener()
    await create_collection(store, "photos", 8)
    return store


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


async def test_collections_of_an_open_store_are_read_and_left_alone(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    before = files(opener.root)
    [found] = read_collections(opener.root)
    assert isinstance(found, Collection)
    assert (found.name, found.model, found.space, found.dimension) == ("photos", "m", "s", 8)
    assert files(opener.root) == before


async def test_collections_of_a_closed_store_are_read_and_left_alone(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    await opener.close()
    before = files(opener.root)
    assert len(list(read_collections(opener.root))) == 1
    assert files(opener.root) == before


async def test_who_holds_the_store_is_told_without_taking_its_lock(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    lock = opener.root / "collections" / ".lock"
    assert holder(lock) == os.getpid()
    *_, ours = examine_directory(opener.root, lambda: True)
    assert ours.verdict is Verdict.OK
    *_, other = examine_directory(opener.root, lambda: False)
    assert other.verdict is Verdict.WARNING
    assert f"ps -fp {os.getpid()}" in other.remedy
    await opener.close()
    assert holder(lock) is None


async def test_a_damaged_collection_is_told_and_the_others_are_read(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    for name, content in (("broken", b"no database" * 1000), ("empty", b"")):
        opener.directory(name).mkdir()
        (opener.directory(name) / "items.sqlite3").write_bytes(content)
    broken, empty, photos = read_collections(opener.root)
    assert isinstance(photos, Collection)
    for finding in (broken, empty):
        assert isinstance(finding, Finding)
        assert finding.verdict is Verdict.PROBLEM


async def test_a_collection_of_another_schema_is_told(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    await opener.close()
    with sqlite3.connect(opener.directory("photos") / "items.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    [finding] = read_collections(opener.root)
    assert isinstance(finding, Finding)
    assert "schema 99" in finding.detail


async def test_a_collection_needs_its_model_in_its_space(
    opener: StoreOpener, store: LocalCollectionStore
) -> None:
    found = [each for each in read_collections(opener.root) if isinstance(each, Collection)]

    def verdict(spaces: dict[str, str]) -> Finding:
        [finding] = collections(found, spaces)
        return finding

    assert verdict({"m": "s"}).verdict is Verdict.OK
    exchanged = verdict({"m": "clip:0123456789abcdef"})
    assert exchanged.verdict is Verdict.PROBLEM
    assert "m is now of clip:0123456789ab" in exchanged.detail
    renamed = verdict({"other": "s"})
    assert renamed.verdict is Verdict.PROBLEM
    assert "other has its space" in renamed.detail
    gone = verdict({})
    assert "m is not served" in gone.detail
    assert "--collection photos-2" in gone.remedy


def test_a_directory_that_is_not_there_yet_is_well(tmp_path: Path) -> None:
    disk, directory = examine_directory(tmp_path / "a" / "b", lambda: False)
    assert (disk.what, directory.verdict) == ("disk", Verdict.OK)
    assert not (tmp_path / "a").exists()


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        [finding] = examine_directory(path, lambda: False)
        assert finding.verdict is Verdict.PROBLEM


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_directory_of_another_user_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = list(examine_directory(tmp_path, lambda: False))
    tmp_path.chmod(0o700)
    assert found[-1].verdict is Verdict.PROBLEM


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(100 * GIB, Verdict.OK), (GIB, Verdict.WARNING), (1000, Verdict.PROBLEM)],
)
def test_a_disk_that_fills_is_told(free: int, verdict: Verdict, tmp_path: Path) -> None:
    assert room(tmp_path, free).verdict is verdict
