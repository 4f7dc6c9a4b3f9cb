"""Pools of a directory: which there are, and how they come, change and go."""

import asyncio
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from pools import write_pool
from vectors import random_vectors

from triptych import seed_pool
from triptych_server.engines.seed_pools import SeedPools
from triptych_server.errors import FailedPrecondition, NotFound

HOSTILE = [
    "",
    ".",
    "..",
    "../colours",
    "/colours",
    "colours/",
    "./colours",
    "a/b",
    "colours\0",
    "\0",
    ".hidden",
    "x" * 100_000,
    "pool\n",
    "\udcff",
    "Colours",
    "*",
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One pool, one that is being made, and what is none; beside it a pool of nobody's business."""
    write_pool(tmp_path / "pools" / "colours", ["red", "blue"], random_vectors(2, 4))
    write_pool(tmp_path / "pools" / ".hidden", ["red"], random_vectors(1, 4))
    write_pool(tmp_path / "outside", ["red"], random_vectors(1, 4))
    (tmp_path / "pools" / "empty").mkdir()
    (tmp_path / "pools" / "file").write_text("no pool")
    return tmp_path / "pools"


async def test_pools_are_named_and_opened(directory: Path) -> None:
    pools = SeedPools(directory)
    assert await pools.names() == ["colours"]
    pool = await pools.open("colours")
    assert (pool.name, len(pool), list(pool.captions)) == ("colours", 2, ["red", "blue"])
    assert pool.description.source == "tests"


@pytest.mark.parametrize("name", [*HOSTILE, "outside", "../outside", "empty", "file"])
async def test_what_is_no_name_of_a_pool_opens_nothing(directory: Path, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await SeedPools(directory).open(name)
    assert (caught.value.reason, caught.value.field) == ("SEED_POOL_NOT_FOUND", "seeds.pool")
    assert "colours" in caught.value.message
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("absent", [True, False])
async def test_without_a_directory_there_are_no_pools(tmp_path: Path, absent: bool) -> None:
    pools = SeedPools(tmp_path / "absent" if absent else None)
    assert await pools.names() == []
    with pytest.raises(NotFound, match="no seed pools"):
        await pools.open("colours")


async def test_a_pool_that_did_not_change_is_not_read_again(directory: Path) -> None:
    pools = SeedPools(directory)
    first, *others = await asyncio.gather(*(pools.open("colours") for _ in range(8)))
    assert all(each is first for each in others)
    assert await pools.open("colours") is first


async def test_a_pool_that_was_built_anew_is_read_again(directory: Path) -> None:
    pools = SeedPools(directory)
    old_vectors, new_vectors = random_vectors(2, 4), random_vectors(3, 4, seed=1)
    old = await pools.open("colours")
    write_pool(directory / "colours", ["one", "two", "three"], new_vectors)
    new = await pools.open("colours")
    assert list(new.captions) == ["one", "two", "three"]
    [found] = await new.rank(lambda rows: rows @ new_vectors[2], 1)
    assert found.text == "three"
    # Searches that began before go on with what they have.
    [found] = await old.rank(lambda rows: rows @ old_vectors[1], 1)
    assert (found.text, list(old.captions)) == ("blue", ["red", "blue"])


async def test_pools_that_are_exchanged_over_and_over_are_whole_or_refused(
    directory: Path,
) -> None:
    pools = SeedPools(directory)
    sizes = [2, 5, 3, 7] * 10

    def exchange() -> None:
        for size in sizes:
            texts = [f"{size} {line}" for line in range(size)]
            write_pool(directory / "colours", texts, random_vectors(size, 4, seed=size))

    exchanging = asyncio.create_task(asyncio.to_thread(exchange))
    while not exchanging.done():
        try:
            pool = await pools.open("colours")
        except FailedPrecondition:  # between two files
            continue
        found = await pool.rank(lambda rows: rows[:, 0], 10)
        assert len(found) == len(pool)
        assert {each.text.split()[0] for each in found} <= {str(len(pool)), "red", "blue"}
    await exchanging
    assert len(await pools.open("colours")) == sizes[-1]


async def test_what_the_client_writes_is_read(directory: Path) -> None:
    pools = SeedPools(directory)
    for captions in (["a red star", "红色的星星"], ["a star", "a circle", "a heart"]):
        vectors = random_vectors(len(captions), 4)
        written = seed_pool.write(
            directory / "made", captions, list(enumerate(vectors)), space="clip:1", model="tiny"
        )
        pool = await pools.open("made")
        assert pool.description.model_dump() == asdict(written)
        found = await pool.rank(lambda rows, wanted=vectors[1]: rows @ wanted, 1)
        assert [each.text for each in found] == captions[1:2]


async def test_pools_come_and_go(directory: Path) -> None:
    pools = SeedPools(directory)
    await pools.open("colours")
    write_pool(directory / "shapes", ["circle"], random_vectors(1, 4))
    assert len(await pools.open("shapes")) == 1
    shutil.rmtree(directory / "colours")
    with pytest.raises(NotFound, match="shapes"):
        await pools.open("colours")


async def test_a_damaged_pool_is_no_more_so_once_it_is_mended(directory: Path) -> None:
    pools = SeedPools(directory)
    (directory / "colours" / "captions.txt").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as caught:
            await pools.open("colours")
        assert (caught.value.reason, caught.value.field) == ("SEED_POOL_UNREADABLE", "seeds.pool")
    write_pool(directory / "colours", ["red"], random_vectors(1, 4))
    assert len(await pools.open("colours")) == 1
