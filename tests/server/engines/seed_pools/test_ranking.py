"""The best captions of a pool, as a full sort gives them."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import SPACE, write_pool
from vectors import random_vectors, unit

from triptych_server.engines.seed_pools import SeedPool
from triptych_server.engines.seed_pools import pool as pool_module
from triptych_server.engines.seed_pools.pool import read_pool
from triptych_server.errors import FailedPrecondition

ROWS, DIMENSION = 1_000, 16
VECTORS = random_vectors(ROWS, DIMENSION)


@pytest.fixture
def pool(tmp_path: Path) -> SeedPool:
    return read_pool(write_pool(tmp_path / "pool", [f"number {n}" for n in range(ROWS)], VECTORS))


def places(found: list[pool_module.PooledCaption]) -> list[int]:
    return [int(each.text.split()[1]) for each in found]


@pytest.mark.parametrize("limit", [1, 7, 64, ROWS - 1, ROWS, 2 * ROWS])
@pytest.mark.parametrize("chunk", [DIMENSION, 37 * DIMENSION, 2**22])
async def test_ranking_is_that_of_a_full_sort(
    pool: SeedPool, limit: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_CHUNK_NUMBERS", chunk)
    target = random_vectors(1, DIMENSION, seed=1)[0]
    found = await pool.rank(lambda rows: rows @ target, limit)
    order = np.argsort(-(VECTORS @ target), kind="stable")[:limit]
    assert places(found) == order.tolist()
    np.testing.assert_array_equal([each.vector for each in found], VECTORS[order])
    np.testing.assert_allclose([each.score for each in found], (VECTORS @ target)[order], atol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.integers(1, 60))
def test_of_equal_captions_the_first_ones_come_first(values: list[int], limit: int) -> None:
    scores = np.array(values, np.float32)
    expected = np.argsort(-scores, kind="stable")[:limit]
    assert pool_module._best(scores, limit).tolist() == expected.tolist()


async def test_vectors_are_scored_where_they_lie(pool: SeedPool) -> None:
    parts = []

    def score(rows: np.ndarray) -> np.ndarray:
        parts.append(rows)
        return rows[:, 0]

    found = await pool.rank(score, 3)
    assert all(not part.flags.owndata and not part.flags.writeable for part in parts)
    assert sum(map(len, parts)) == ROWS
    # What is kept of a pool keeps it not in memory.
    assert all(each.vector.flags.owndata and each.vector.base is None for each in found)


async def test_the_loop_goes_on_while_a_pool_is_ranked(pool: SeedPool) -> None:
    loop = asyncio.get_running_loop()

    def score(rows: np.ndarray) -> np.ndarray:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
        return rows[:, 0]

    assert len(await pool.rank(score, 3)) == 3


async def test_a_pool_of_another_space_names_both(pool: SeedPool) -> None:
    pool.check_space("tiny", SPACE, DIMENSION)
    with pytest.raises(FailedPrecondition) as caught:
        pool.check_space("large", "clip:another", DIMENSION)
    assert (caught.value.reason, caught.value.field) == ("SEED_POOL_SPACE", "seeds.pool")
    for part in (SPACE, "clip:another", "'large'", "'pool'", "triptych mils build-pool"):
        assert part in caught.value.message


async def test_a_pool_of_another_dimension_than_its_space_is_damaged(pool: SeedPool) -> None:
    with pytest.raises(FailedPrecondition, match="have 16 numbers, and those of its space 32") as e:
        pool.check_space("tiny", SPACE, 2 * DIMENSION)
    assert (e.value.reason, e.value.field) == ("SEED_POOL_UNREADABLE", "seeds.pool")


async def test_thirty_thousand_captions_are_ranked(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng.standard_normal((30_000, 512), np.float32))
    pool = read_pool(write_pool(tmp_path / "large", [f"n {n}" for n in range(30_000)], vectors))
    target = vectors[12_345]
    [best, *_] = await pool.rank(lambda rows: rows @ target, 64)
    assert (best.text, best.score) == ("n 12345", pytest.approx(1, abs=1e-5))
