"""Segments and graphs: made in the background, searched with the tail, and found by a restart."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from stores import StoreOpener, create_collection
from vectors import Vectors, clustered_vectors, items

from triptych_server.engines.collections import IndexKind, Item
from triptych_server.engines.collections.filters import parse
from triptych_server.engines.collections.local import LocalCollectionStore

D = 16
COUNT = 24_000
VECTORS = clustered_vectors(COUNT, D)
SMALL = 2_500
QUERIES = clustered_vectors(COUNT, D, seed=1)[:50]


async def fill(store: LocalCollectionStore, count: int, start: int = 0) -> None:
    for first in range(start, start + count, 2_000):
        last = min(first + 2_000, start + count)
        await store.upsert("a", items(VECTORS[first:last], start=first))
    await store.settle("a")


async def ids(store: LocalCollectionStore, query: Vectors, limit: int, **more: Any) -> list[int]:
    return [int(hit.item.id) for hit in await store.search("a", query, limit=limit, **more)]


def nearest(query: Vectors, limit: int, among: npt.ArrayLike) -> list[int]:
    rows = np.asarray(among)
    order = np.argsort(-(VECTORS[rows] @ query), kind="stable")[:limit]
    return [int(row) for row in rows[order]]


def recall(found: list[list[int]], expected: list[list[int]]) -> float:
    shares = [len(set(f) & set(e)) / len(e) for f, e in zip(found, expected, strict=True)]
    return float(np.mean(shares))


def segment(opener: StoreOpener) -> Path | None:
    """The segment of the collection; there is never more than one for long."""
    found = sorted(opener.directory("a").glob("segment-*"))
    assert len(found) <= 1
    return found[0] if found else None


def has_graph(opener: StoreOpener) -> bool:
    made = segment(opener)
    return made is not None and (made / "links.hnsw").exists()


@pytest.fixture(scope="module")
def graph_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a graph over `VECTORS`, and none of them in the tail."""
    opener = StoreOpener(tmp_path_factory.mktemp("graph"))

    async def make() -> None:
        store = opener()
        await create_collection(store, "a", D, IndexKind.HNSW)
        await fill(store, SMALL)
        await fill(store, COUNT - SMALL, start=SMALL)
        await store.close()

    asyncio.run(make())
    assert has_graph(opener)
    return opener.root


@pytest.fixture
async def graph(graph_root: Path, open_store: StoreOpener) -> LocalCollectionStore:
    """A store of one's own with that collection."""
    shutil.copytree(graph_root, open_store.root)
    return open_store()


async def test_a_graph_finds_nine_of_ten_of_the_nearest(graph: LocalCollectionStore) -> None:
    found = [await ids(graph, query, 10) for query in QUERIES]
    assert recall(found, [nearest(query, 10, range(COUNT)) for query in QUERIES]) >= 0.9


async def test_scores_from_a_graph_are_inner_products(graph: LocalCollectionStore) -> None:
    hits = await graph.search("a", QUERIES[0], limit=20)
    expected = [VECTORS[int(hit.item.id)] @ QUERIES[0] for hit in hits]
    assert np.allclose([hit.score for hit in hits], expected, atol=1e-6)
    assert expected == sorted(expected, reverse=True)


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("even = true", np.arange(0, COUNT, 2)),  # by the graph
        ("number < 3000", np.arange(3000)),  # compared exactly
        ("number < 3", np.arange(3)),
    ],
)
async def test_a_filtered_search_of_a_graph_gives_as_many_hits_as_there_are(
    graph: LocalCollectionStore, text: str, among: npt.NDArray[np.int64]
) -> None:
    expected = [nearest(query, 30, among) for query in QUERIES]
    found = [await ids(graph, query, 30, filter=parse(text)) for query in QUERIES]
    assert [len(each) for each in found] == [len(each) for each in expected]
    assert all(set(each) <= set(among.tolist()) for each in found)
    assert recall(found, expected) >= 0.9


async def test_what_is_deleted_or_replaced_leaves_a_graph_at_once(
    graph: LocalCollectionStore,
) -> None:
    first = await ids(graph, QUERIES[0], 60)
    await graph.delete_items("a", [str(each) for each in first[:40]])
    await graph.upsert("a", [Item(str(first[40]), -QUERIES[0], {})])
    assert await ids(graph, QUERIES[0], 19) == first[41:60]
    assert await ids(graph, -QUERIES[0], 1) == [first[40]]


async def test_a_search_deeper_than_a_graph_walks_is_exact(graph: LocalCollectionStore) -> None:
    found = await ids(graph, QUERIES[0], 3, offset=9_990)
    assert found == nearest(QUERIES[0], 9_993, range(COUNT))[9_990:]


async def test_items_written_after_the_graph_are_found(graph: LocalCollectionStore) -> None:
    await graph.upsert("a", [Item("99999", QUERIES[0], {})])
    assert (await ids(graph, QUERIES[0], 1)) == [99999]


async def test_an_hnsw_collection_gets_a_graph_from_a_thousand_items_on(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    await fill(store, 999)
    assert segment(open_store) is None
    await fill(store, 1, start=999)
    assert has_graph(open_store)


async def test_an_auto_collection_gets_a_graph_at_its_threshold(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.AUTO, threshold=2_000)
    await fill(store, 1_999)
    assert not has_graph(open_store)
    await fill(store, 1, start=1_999)
    assert has_graph(open_store)


async def test_a_flat_collection_never_gets_a_graph_and_stays_exact(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.FLAT)
    await fill(store, 12_000)
    assert segment(open_store) is not None
    assert not has_graph(open_store)
    for query in QUERIES[:10]:
        assert await ids(store, query, 20) == nearest(query, 20, range(12_000))


async def test_many_deletions_are_compacted_away(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    await fill(store, SMALL)
    await store.delete_items("a", [str(n) for n in range(1_500)])
    await store.settle("a")
    made = segment(open_store)
    assert made is not None
    assert json.loads((made / "manifest.json").read_text())["rows"] == SMALL - 1_500
    assert await ids(store, QUERIES[0], 10) == nearest(QUERIES[0], 10, range(1_500, SMALL))


async def test_a_collection_that_is_emptied_needs_no_segment(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    await fill(store, SMALL)
    await store.delete_items("a", [str(n) for n in range(SMALL)])
    await store.settle("a")
    assert segment(open_store) is None
    assert await ids(store, QUERIES[0], 10) == []
    await fill(store, 10)
    assert len(await ids(store, QUERIES[0], 99)) == 10


async def test_writes_while_a_segment_is_made_are_in_the_next_view(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    written = items(VECTORS[:SMALL])
    there: set[int] = set()
    for start in range(0, SMALL, 100):  # merges begin at 1,000 items and as items die
        await store.upsert("a", written[start : start + 100])
        await store.delete_items("a", [str(n) for n in range(start, start + 30)])
        await store.upsert("a", written[start + 60 : start + 90])
        there |= set(range(start + 30, start + 100))
        assert set(await ids(store, QUERIES[0], SMALL)) == there
    await store.settle("a")
    assert has_graph(open_store)
    assert set(await ids(store, QUERIES[0], SMALL)) == there


async def test_a_restart_uses_the_segment_that_is_there(
    graph: LocalCollectionStore, open_store: StoreOpener
) -> None:
    before = [await ids(graph, query, 10) for query in QUERIES]
    made = segment(open_store)
    assert made is not None
    links = (made / "links.hnsw").stat()
    await graph.close()
    again = open_store()
    await again.settle("a")
    assert [await ids(again, query, 10) for query in QUERIES] == before
    assert (made / "links.hnsw").stat() == links


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["vectors.f32", "seqs.i64", "links.hnsw", "manifest.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
async def test_a_damaged_segment_is_not_used(
    graph_root: Path, open_store: StoreOpener, file: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(graph_root, open_store.root)
    made = segment(open_store)
    assert made is not None
    damage(made / file)
    store = open_store()
    assert (await store.get("a")).item_count == COUNT
    assert await ids(store, QUERIES[0], 10) == nearest(QUERIES[0], 10, range(COUNT))


async def test_an_old_segment_is_brought_up_to_date(
    graph: LocalCollectionStore, open_store: StoreOpener, tmp_path: Path
) -> None:
    made = segment(open_store)
    assert made is not None
    shutil.copytree(made, tmp_path / "old")
    await graph.delete_items("a", [str(n) for n in range(7_000)])
    await graph.upsert("a", items(VECTORS[6_000:8_000], start=6_000))
    await graph.settle("a")
    now = segment(open_store)
    assert now is not None
    assert now != made
    await graph.close()
    shutil.rmtree(now)
    shutil.copytree(tmp_path / "old", made)
    store = open_store()
    there = range(6_000, COUNT)
    assert (await store.get("a")).item_count == len(there)
    assert await ids(store, QUERIES[0], 2_000) == nearest(QUERIES[0], 2_000, there)


async def test_leftovers_of_a_crash_are_swept(
    graph: LocalCollectionStore, open_store: StoreOpener
) -> None:
    made = segment(open_store)
    assert made is not None
    await graph.close()
    (open_store.directory("a") / ".segment-9").mkdir()
    (open_store.directory("a") / "segment-8").mkdir()
    open_store.directory(".new-b").mkdir()
    (open_store.directory(".trash-c") / "segment-1").mkdir(parents=True)
    store = open_store()
    assert [each.name for each in await store.list(limit=9)] == ["a"]
    left = {path.name for path in open_store.root.rglob("*segment*")}
    left |= {path.name for path in open_store.directory("").iterdir()}
    assert left == {made.name, "a", ".lock"}
