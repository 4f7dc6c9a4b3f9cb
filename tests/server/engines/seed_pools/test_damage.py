"""Pools that are damaged, each in its own way: all are refused, saying of what."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import describe, write_pool
from vectors import random_vectors

from triptych_server.engines.seed_pools.pool import PoolError, read_pool

CAPTIONS = ["a red star", "红色的星星", "a blue circle"]
VECTORS = random_vectors(3, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pool(tmp_path / "pool", CAPTIONS, VECTORS)


class Bomb:
    """Its pickle makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._path),)


def lines(folder: Path, content: bytes) -> None:
    """Give the pool these captions, as if they were its own."""
    (folder / "captions.txt").write_bytes(content)
    describe(folder, content, VECTORS)


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    vectors = VECTORS.copy()
    vectors[place] = value
    return vectors


def truncated(folder: Path, by: int) -> None:
    path = folder / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-by])


def test_a_sound_pool_is_read(folder: Path) -> None:
    pool = read_pool(folder)
    assert list(pool.captions) == CAPTIONS
    assert pool.captions[1:] == CAPTIONS[1:]
    assert pool.captions[-1] == CAPTIONS[-1]
    with pytest.raises(IndexError):
        pool.captions[3]


@pytest.mark.parametrize("factor", [1 - 5e-4, 1 + 5e-4])
def test_rounding_is_no_damage(folder: Path, factor: float) -> None:
    np.save(folder / "vectors.npy", (VECTORS * factor).astype(np.float32))
    assert len(read_pool(folder)) == 3


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "it is empty"),
        (b"a\n\nc\n", "its line 2 is blank"),
        (b"a\n \t\nc\n", "its line 2 is blank"),
        ("a\n\u3000\nc\n".encode(), "its line 2 is blank"),
        (b"a\r\nb\r\nc\r\n", "its line 1 has a CR"),
        (b"a\rb\rc", "its line 1 does not end by LF"),
        (b"a\nb\nc", "its line 3 does not end by LF"),
        (b"a\n\xff\nc\n", "its line 2 is not UTF-8"),
        ("a\nb\nc\n".encode("utf-16"), "its line 1 is not UTF-8"),
        ("a\nb\n红".encode()[:-1], "its line 3 is not UTF-8"),
        (b"a\nb\n" + b"c" * 1_001 + b"\n", "its line 3 has more than 1,000 characters"),
        (b"a\nb\n" + b"c" * 10_000_000, "its line 3 has more than 1,000 characters"),
        (b"a\nb\n" + "红".encode() * 9_999, "its line 3 has more than 1,000 characters"),
        (b"a\nb\n", "has 2 lines, and pool.json says 3"),
        (b"a\nb\nc\nd\n", "has 4 lines, and pool.json says 3"),
    ],
)
def test_captions_that_are_none(folder: Path, content: bytes, wrong: str) -> None:
    lines(folder, content)
    with pytest.raises(PoolError, match=f"captions.txt.* {wrong}"):
        read_pool(folder)


def test_the_longest_captions_are_read(folder: Path) -> None:
    lines(folder, ("a\n" + "⭐" * 1_000 + "\n" + "c" * 1_000 + "\n").encode())
    assert list(map(len, read_pool(folder).captions)) == [1, 1_000, 1_000]


def test_captions_of_another_pool(folder: Path) -> None:
    (folder / "captions.txt").write_bytes(b"one\ntwo\nthree\n")
    with pytest.raises(PoolError, match=r"captions.txt is not the file that pool.json names"):
        read_pool(folder)


@pytest.mark.parametrize(
    ("vectors", "wrong"),
    [
        (VECTORS[:2], r"float32 of the shape \[3, 8\] in C order, and is float32 of \[2, 8\]"),
        (VECTORS[:, :4], r"is float32 of \[3, 4\]"),
        (VECTORS.ravel(), r"is float32 of \[24\]"),
        (VECTORS[np.newaxis], r"is float32 of \[1, 3, 8\]"),
        (np.asfortranarray(VECTORS), r"is float32 of \[3, 8\] in Fortran order"),
        (VECTORS.astype(np.float64), "is float64"),
        (VECTORS.astype(np.float16), "is float16"),
        (VECTORS.astype(">f4"), "is >f4"),
        (VECTORS.view(np.int32), "is int32"),
        (VECTORS.view([("value", "<f4")]), "is .*value"),
        (changed((1, 3), np.nan), "row 1 has the length nan, not 1"),
        (changed((2, 0), np.inf), "row 2 has the length inf, not 1"),
        (changed((0, 0), 1e30), "row 0 has the length inf, not 1"),
        (VECTORS * np.float32(1.01), r"row 0 has the length 1\.0"),
        (VECTORS * np.float32(0.99), r"row 0 has the length 0\.9"),
        (VECTORS * 0, r"row 0 has the length 0\.0, not 1"),
    ],
)
def test_vectors_that_are_none(folder: Path, vectors: np.ndarray, wrong: str) -> None:
    np.save(folder / "vectors.npy", vectors)
    with pytest.raises(PoolError, match=f"vectors.npy.* {wrong}"):
        read_pool(folder)


@pytest.mark.parametrize("by", [1, 4, 95, 96, 97, 200, 10_000])
def test_vectors_that_were_cut_off(folder: Path, by: int) -> None:
    truncated(folder, by)
    with pytest.raises(PoolError, match=r"vectors.npy cannot be read"):
        read_pool(folder)


@pytest.mark.parametrize("as_array", [True, False])
def test_pickles_are_never_opened(folder: Path, tmp_path: Path, as_array: bool) -> None:
    bomb = Bomb(tmp_path / "exploded")
    with (folder / "vectors.npy").open("wb") as file:
        if as_array:
            np.save(file, np.array([bomb], object), allow_pickle=True)
        else:
            pickle.dump(bomb, file)
    with pytest.raises(PoolError, match=r"vectors.npy cannot be read"):
        read_pool(folder)
    assert not (tmp_path / "exploded").exists()


def test_archives_of_arrays_are_no_vectors(folder: Path) -> None:
    with (folder / "vectors.npy").open("wb") as file:
        np.savez(file, vectors=VECTORS)
    with pytest.raises(PoolError, match=r"vectors.npy cannot be read"):
        read_pool(folder)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of a header
@given(header=st.one_of(st.binary(max_size=200), st.text("({[]})'\"\\#,:\n \t<f48", max_size=200)))
def test_no_header_of_vectors_does_harm(
    header: bytes | str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_pool(tmp_path_factory.getbasetemp() / "headers", CAPTIONS, VECTORS)
    content = header.encode() if isinstance(header, str) else header
    for version in (b"\x01\x00", b"\x03\x00"):
        size = len(content).to_bytes(2 if version[0] == 1 else 4, "little")
        (folder / "vectors.npy").write_bytes(b"\x93NUMPY" + version + size + content)
        with pytest.raises(PoolError, match=r"vectors.npy cannot be read"):
            read_pool(folder)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"space": ""}, "space"),
        ({"space": None}, "space"),
        ({"model": 1}, "model"),
        ({"dimension": "8"}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"dimension": 8.5}, "dimension"),
        ({"count": 0}, "count"),
        ({"count": -3}, "count"),
        ({"captions_sha256": "0" * 63}, "captions_sha256"),
        ({"captions_sha256": "Z" * 64}, "captions_sha256"),
        ({"source": ["tests"]}, "source"),
    ],
)
def test_descriptions_with_a_wrong_value(
    folder: Path, change: dict[str, object], wrong: str
) -> None:
    describe(folder, b"", VECTORS, **change)
    with pytest.raises(PoolError, match=rf"pool.json: {wrong}"):
        read_pool(folder)


@pytest.mark.parametrize("key", ["space", "model", "dimension", "count", "captions_sha256"])
def test_descriptions_that_lack_something(folder: Path, key: str) -> None:
    fields = json.loads((folder / "pool.json").read_text())
    del fields[key]
    (folder / "pool.json").write_text(json.dumps(fields))
    with pytest.raises(PoolError, match=rf"pool.json: {key}"):
        read_pool(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff\xfe{}", b"[" * 100_000, b"{}" * 2**20]
)
def test_descriptions_that_are_none(folder: Path, content: bytes) -> None:
    (folder / "pool.json").write_bytes(content)
    with pytest.raises(PoolError, match=r"pool.json"):
        read_pool(folder)


@pytest.mark.parametrize("file", ["captions.txt", "vectors.npy", "pool.json"])
@pytest.mark.parametrize("instead", ["nothing", "folder", "pipe", "empty"])
def test_files_that_are_none(folder: Path, file: str, instead: str) -> None:
    path = folder / file
    path.unlink()
    if instead == "folder":
        path.mkdir()
    elif instead == "pipe":
        os.mkfifo(path)
    elif instead == "empty":
        path.touch()
    with pytest.raises(PoolError, match=file):
        read_pool(folder)
