"""Seed pools as they are written."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import seed_pool
from triptych.seed_pool import SeedPool, select
from triptych_server.engines.seed_pools import SeedPools

CAPTIONS = ["a red circle", "ein grüner Kreis", "一个蓝色圆形"]
VECTORS = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def write(folder: Path, captions: Any = CAPTIONS, vectors: Any = None, **options: Any) -> SeedPool:
    rows = enumerate(VECTORS) if vectors is None else vectors
    return seed_pool.write(folder, captions, rows, space="a space", model="a model", **options)


def lines(folder: Path) -> list[str]:
    return (folder / "captions.txt").read_text(encoding="utf-8").split("\n")


def test_a_pool_is_three_files_that_agree(tmp_path: Path) -> None:
    pool = write(tmp_path / "pools" / "p", source="three.txt")
    text = (tmp_path / "pools" / "p" / "captions.txt").read_bytes()
    assert text.decode() == "".join(f"{caption}\n" for caption in CAPTIONS)
    vectors = np.load(tmp_path / "pools" / "p" / "vectors.npy")
    assert (vectors.dtype, vectors.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(vectors, UNIT, rtol=1e-6)
    assert json.loads((tmp_path / "pools" / "p" / "pool.json").read_text()) == {
        "space": "a space",
        "model": "a model",
        "dimension": 8,
        "count": 3,
        "captions_sha256": hashlib.sha256(text).hexdigest(),
        "source": "three.txt",
    }
    assert (pool.count, pool.dimension) == (3, 8)
    assert os.listdir(tmp_path / "pools") == ["p"]


async def test_the_gateway_reads_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "p")
    pools = SeedPools(tmp_path)
    pool = await pools.open("p")
    assert list(pool.captions) == CAPTIONS
    (best, _) = await pool.rank(lambda vectors: vectors @ UNIT[1], 2)
    assert (best.text, best.score) == (CAPTIONS[1], pytest.approx(1))
    write(tmp_path / "p", CAPTIONS[:1], [(0, VECTORS[0])])
    assert list((await pools.open("p")).captions) == CAPTIONS[:1]


def test_vectors_may_come_in_any_order_and_captions_without_one_are_left_out(
    tmp_path: Path,
) -> None:
    write(tmp_path / "p", vectors=[(2, VECTORS[2]), (0, VECTORS[0])])
    assert lines(tmp_path / "p") == [CAPTIONS[0], CAPTIONS[2], ""]
    np.testing.assert_allclose(np.load(tmp_path / "p" / "vectors.npy"), UNIT[[0, 2]], rtol=1e-6)


def interrupted() -> Iterator[Any]:
    yield 0, VECTORS[0]
    raise KeyboardInterrupt


def test_an_interrupted_writer_leaves_the_pool_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "p", vectors=interrupted())
    assert os.listdir(tmp_path) == []
    write(tmp_path / "p")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "p", ["another"], interrupted())
    assert os.listdir(tmp_path) == ["p"]
    assert lines(tmp_path / "p") == [*CAPTIONS, ""]


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".p.part"
    left.mkdir()
    (left / "vectors.npy").write_bytes(b"half")
    write(tmp_path / "p")
    assert os.listdir(tmp_path) == ["p"]


def test_a_pool_that_is_replaced_is_always_there(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    write(folder)
    over = threading.Event()
    found: list[bool] = []

    def look() -> None:
        while not over.is_set():
            found.append(folder.is_dir())

    onlooker = threading.Thread(target=look)
    onlooker.start()
    try:
        for count in [1, 2, 3] * 20:
            write(folder, CAPTIONS[:count], enumerate(VECTORS[:count]))
    finally:
        over.set()
        onlooker.join()
    assert found
    assert all(found)
    assert os.listdir(tmp_path) == ["p"]
    assert lines(folder) == [*CAPTIONS, ""]


def test_a_folder_that_is_no_pool_is_not_overwritten(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_text("text")
    write(tmp_path / "p")
    (tmp_path / "link").symlink_to(tmp_path / "p")
    for name in ("photos", "file", "link"):
        with pytest.raises(FileExistsError, match="is no seed pool"):
            write(tmp_path / name)
    assert os.listdir(photos) == ["cat.jpg"]
    (photos / "pool.json").write_text("{}")
    with pytest.raises(FileExistsError, match="is no seed pool"):
        write(photos)


@pytest.mark.parametrize(
    ("captions", "vectors", "message"),
    [
        (["a", "A"], enumerate(VECTORS), "captions"),
        (["a\nb"], enumerate(VECTORS), "captions"),
        ([" a"], enumerate(VECTORS), "captions"),
        (CAPTIONS, [], "no caption has a vector"),
        (CAPTIONS, [(0, VECTORS[0]), (1, VECTORS[1][:7])], r"vector 1: \[7\] numbers"),
        (CAPTIONS, [(1, np.zeros(8, np.float32))], "vector 1: it has no direction"),
        (CAPTIONS, [(1, np.full(8, np.nan, np.float32))], "vector 1: it has no direction"),
        (CAPTIONS, [(1, np.full(8, np.inf, np.float32))], "vector 1: it has no direction"),
    ],
)
def test_what_makes_no_pool_is_refused(
    tmp_path: Path, captions: Any, vectors: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "p", captions, vectors)
    assert os.listdir(tmp_path) == []


def test_captions_are_put_on_one_line() -> None:
    chosen = select(["  a\tred \n circle\r", "", " \n", "Cafe\u0301"])
    assert chosen.captions == ("a red circle", "Caf\u00e9")
    assert (chosen.duplicates, chosen.excluded, chosen.refused) == (0, 0, 0)


def test_equal_captions_are_one() -> None:
    chosen = select(["A red circle", "a red  circle", "a blue circle", "A RED CIRCLE"])
    assert (chosen.captions, chosen.duplicates) == (("A red circle", "a blue circle"), 2)


def test_captions_are_excluded_however_they_are_written() -> None:
    chosen = select(["a", "b", "B", "c"], exclude=[" B ", "d", ""])
    assert (chosen.captions, chosen.excluded) == (("a", "c"), 2)


def test_what_is_no_caption_is_refused() -> None:
    chosen = select(["a\x00b", "\x1b[31mred", "a \ud800", "x" * 1001, "x" * 1000])
    assert (chosen.captions, chosen.refused) == (("x" * 1000,), 4)


def test_a_limit_takes_the_first() -> None:
    assert select(["a", "A", "b", "c", "d"], limit=3).captions == ("a", "b", "c")
