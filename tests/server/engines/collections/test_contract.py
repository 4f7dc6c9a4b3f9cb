"""What every collection store does; a further store joins as one more parameter of `store`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vectors import items, random_vectors, unit

from triptych_server.engines.collections import (
    Collection,
    CollectionStore,
    Hit,
    Include,
    IndexKind,
    IndexPolicy,
    Item,
    StoredContent,
)
from triptych_server.engines.collections.filters import parse
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.errors import AlreadyExists, InvalidArgument, NotFound

D = 8
EVERYTHING = Include(content=True, vector=True)
NOTHING = Include()


@pytest.fixture(params=["local"])
async def store(tmp_path: Path) -> AsyncIterator[CollectionStore]:
    opened = LocalCollectionStore(tmp_path, threads=2)
    yield opened
    await opened.close()


@pytest.fixture
async def name(store: CollectionStore) -> str:
    """An empty collection."""
    await create(store, "pictures")
    return "pictures"


async def create(store: CollectionStore, name: str, kind: IndexKind = IndexKind.AUTO) -> Collection:
    index = IndexPolicy(kind, 2_000)
    return await store.create(name, model="clip", space="clip:1", dimension=D, index=index)


def axis(number: int) -> Any:
    return np.eye(D, dtype=np.float32)[number]


def item(item_id: str, vector: Any = None, **metadata: Any) -> Item:
    return Item(item_id, axis(0) if vector is None else vector, metadata)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.item.id for hit in hits]


# Collections


async def test_a_created_collection_is_described_as_it_was_made(store: CollectionStore) -> None:
    made = await create(store, "a-1_b", IndexKind.HNSW)
    assert made == await store.get("a-1_b")
    assert (made.name, made.model, made.space, made.dimension) == ("a-1_b", "clip", "clip:1", D)
    assert made.index == IndexPolicy(IndexKind.HNSW, 2_000)
    assert made.item_count == 0
    assert abs(datetime.now(UTC) - made.create_time) < timedelta(seconds=60)


async def test_a_name_is_taken_only_once(store: CollectionStore) -> None:
    outcomes = await asyncio.gather(*(create(store, "a") for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(outcome, Collection) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 2


@pytest.mark.parametrize("bad", ["", "a/b", "../a", ".", "A", "_a", "a" * 64, "a\n", "ä"])
async def test_a_name_that_is_not_plain_is_refused(store: CollectionStore, bad: str) -> None:
    with pytest.raises(InvalidArgument):
        await create(store, bad)
    with pytest.raises(NotFound):
        await store.get(bad)


async def test_collections_are_listed_by_name(store: CollectionStore) -> None:
    for name in ("b", "a", "d", "c"):
        await create(store, name)
    assert [each.name for each in await store.list(limit=10)] == ["a", "b", "c", "d"]
    assert [each.name for each in await store.list(limit=2, after="a")] == ["b", "c"]
    assert await store.list(limit=2, after="d") == []


async def test_a_deleted_collection_is_gone_and_its_name_free(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item("x")])
    await store.delete(name)
    assert await store.list(limit=10) == []
    await create(store, name)
    assert (await store.get(name)).item_count == 0
    assert await store.search(name, axis(0), limit=5) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get("a"),
        lambda store: store.delete("a"),
        lambda store: store.upsert("a", [item("x")]),
        lambda store: store.get_item("a", "x", NOTHING),
        lambda store: store.get_items("a", ["x"], NOTHING),
        lambda store: store.list_items("a", limit=1, cursor=None, filter=None, include=NOTHING),
        lambda store: store.delete_items("a", ["x"]),
        lambda store: store.search("a", axis(0), limit=1),
    ],
)
async def test_a_collection_that_is_not_there_is_not_found(
    store: CollectionStore, call: Callable[[CollectionStore], Awaitable[object]]
) -> None:
    with pytest.raises(NotFound) as caught:
        await call(store)
    assert caught.value.reason == "COLLECTION_NOT_FOUND"


# Items


async def test_an_item_is_read_as_it_was_written(store: CollectionStore, name: str) -> None:
    vector = unit(range(1, D + 1))
    metadata = {
        "text": 'q"\\\n\u2028😀',
        "int": 2**53 + 1,
        "real": 0.1,
        "whole": 2.0,
        "none": None,
        "nested": {"list": [1, "1", True, {"": []}]},
    }
    content = StoredContent("image", b"\x00\xff picture")
    await store.upsert(name, [Item("x", vector, metadata, "file:///x.png", content)])
    found = await store.get_item(name, "x", EVERYTHING)
    assert found.id == "x"
    assert found.metadata == metadata
    assert isinstance(found.metadata["whole"], float)
    assert found.uri == "file:///x.png"
    assert found.has_content
    assert found.content == content
    assert found.vector is not None
    assert found.vector.dtype == np.float32
    assert np.array_equal(found.vector, vector)
    assert found.update_time.tzinfo is UTC
    assert abs(datetime.now(UTC) - found.update_time) < timedelta(seconds=60)


async def test_heavy_parts_are_read_only_when_asked_for(store: CollectionStore, name: str) -> None:
    content = StoredContent("text", b"ein Bild")
    await store.upsert(name, [Item("x", axis(0), {}, content=content), item("y")])
    light = await store.get_item(name, "x", NOTHING)
    assert (light.has_content, light.content, light.vector) == (True, None, None)
    bare = await store.get_item(name, "y", EVERYTHING)
    assert (bare.has_content, bare.content) == (False, None)
    (hit,) = await store.search(name, axis(0), limit=1, include=EVERYTHING)
    assert hit.item.content == content


async def test_items_are_read_by_id_and_missing_ones_left_out(
    store: CollectionStore, name: str
) -> None:
    content = StoredContent("text", b"ein Bild")
    await store.upsert(name, [Item("x", axis(0), {}, content=content), item("y"), item("z")])
    found = await store.get_items(name, ["z", "nothing", "x"], EVERYTHING)
    assert {key: each.id for key, each in found.items()} == {"x": "x", "z": "z"}
    assert (found["x"].content, found["z"].content) == (content, None)
    assert await store.get_items(name, [], EVERYTHING) == {}


async def test_a_missing_item_is_not_found(store: CollectionStore, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await store.get_item(name, "x", NOTHING)
    assert caught.value.reason == "ITEM_NOT_FOUND"


async def test_upsert_tells_new_ids_from_replaced_ones(store: CollectionStore, name: str) -> None:
    assert await store.upsert(name, [item("x"), item("y"), item("x")]) == [True, True, False]
    assert await store.upsert(name, [item("y"), item("z")]) == [False, True]
    assert (await store.get(name)).item_count == 3


async def test_of_several_items_with_one_id_the_last_stays(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item("x", axis(n % D), n=n) for n in range(50)])
    assert (await store.get_item(name, "x", NOTHING)).metadata == {"n": 49}
    (hit,) = await store.search(name, axis(49 % D), limit=10)
    assert hit.score == 1.0


async def test_a_replacement_takes_the_place_of_all_parts(
    store: CollectionStore, name: str
) -> None:
    content = StoredContent("text", b"old")
    await store.upsert(name, [Item("x", axis(0), {"old": 1}, "old", content)])
    await store.upsert(name, [Item("x", axis(1), {"new": 1})])
    found = await store.get_item(name, "x", EVERYTHING)
    assert (found.metadata, found.uri, found.has_content, found.content) == (
        {"new": 1},
        "",
        False,
        None,
    )
    (hit,) = await store.search(name, axis(1), limit=5)
    assert hit.score == 1.0


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (Item("x", np.ones(D + 1, np.float32), {}), "vector"),
        (Item("x", np.ones((1, D), np.float32), {}), "vector"),
        (item("x", a=[{"b": float("nan")}]), "metadata.a[0].b"),
        (item("x", a="\0"), "metadata.a"),
        (item("x", a="\ud800"), "metadata.a"),
        (item("x", a=object()), "metadata.a"),
        (item("x", a=b"bytes"), "metadata.a"),
        (item("\ud800"), "id"),
    ],
)
async def test_a_bad_item_fails_its_call_and_no_other(
    store: CollectionStore, name: str, bad: Item, field: str
) -> None:
    refused, written = await asyncio.gather(
        store.upsert(name, [item("with"), bad]),
        store.upsert(name, [item("other")]),
        return_exceptions=True,
    )
    assert isinstance(refused, InvalidArgument)
    assert refused.field == field
    assert written == [True]
    assert ids(await store.search(name, axis(0), limit=10)) == ["other"]


async def test_deletion_tells_which_items_there_were(store: CollectionStore, name: str) -> None:
    await store.upsert(name, [item("x"), item("y"), item("z")])
    assert await store.delete_items(name, ["y", "nope", "y", "x"]) == [True, False, False, True]
    assert (await store.get(name)).item_count == 1
    assert ids(await store.search(name, axis(0), limit=10)) == ["z"]
    with pytest.raises(NotFound):
        await store.get_item(name, "y", NOTHING)


async def test_items_are_listed_in_the_order_of_their_last_writing(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item(each) for each in "abcdef"])
    await store.upsert(name, [item("b"), item("a")])
    await store.delete_items(name, ["d"])
    listed: list[str] = []
    cursor = None
    while True:
        page = await store.list_items(name, limit=2, cursor=cursor, filter=None, include=NOTHING)
        assert len(page.items) <= 2
        listed += [each.id for each in page.items]
        if (cursor := page.cursor) is None:
            break
    assert "".join(listed) == "cefba"


async def test_a_list_that_fills_its_last_page_ends_there(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item("a"), item("b")])
    page = await store.list_items(name, limit=2, cursor=None, filter=None, include=NOTHING)
    assert page.cursor is None


async def test_a_list_can_be_filtered(store: CollectionStore, name: str) -> None:
    await store.upsert(name, items(random_vectors(20, D)))
    page = await store.list_items(
        name, limit=3, cursor=None, filter=parse("number >= 5 AND even = true"), include=NOTHING
    )
    assert [each.id for each in page.items] == ["6", "8", "10"]
    page = await store.list_items(
        name, limit=9, cursor=page.cursor, filter=parse("even = true"), include=NOTHING
    )
    assert [each.id for each in page.items] == ["12", "14", "16", "18"]


# Search


async def test_hits_are_the_nearest_best_first_with_their_inner_products(
    store: CollectionStore, name: str
) -> None:
    vectors = random_vectors(200, D)
    await store.upsert(name, items(vectors))
    hits = await store.search(name, vectors[7], limit=10)
    scores = vectors @ vectors[7]
    assert ids(hits) == [str(n) for n in np.argsort(-scores)[:10]]
    assert np.allclose([hit.score for hit in hits], np.sort(scores)[::-1][:10], atol=1e-6)


async def test_of_equal_scores_the_item_written_earlier_comes_first(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item(f"{n}") for n in range(20)])
    await store.upsert(name, [item("3")])
    expected = [f"{n}" for n in range(20) if n != 3] + ["3"]
    assert ids(await store.search(name, axis(0), limit=20)) == expected
    assert ids(await store.search(name, axis(0), limit=5)) == expected[:5]


async def test_pages_are_parts_of_one_ranking(store: CollectionStore, name: str) -> None:
    vectors = random_vectors(300, D)
    await store.upsert(name, items(vectors))
    whole = ids(await store.search(name, vectors[0], limit=300))
    assert sorted(whole, key=int) == [str(n) for n in range(300)]
    pages = [await store.search(name, vectors[0], limit=7, offset=n) for n in range(0, 300, 7)]
    assert [each for page in pages for each in ids(page)] == whole
    assert await store.search(name, vectors[0], limit=5, offset=300) == []


async def test_hits_below_the_threshold_are_left_out(store: CollectionStore, name: str) -> None:
    vectors = unit([[1, 0], [1, 1], [0, 1], [-1, 0]])
    padded = np.pad(vectors, ((0, 0), (0, D - 2)))
    await store.upsert(name, items(padded))
    assert ids(await store.search(name, axis(0), limit=9, threshold=0.7)) == ["0", "1"]
    assert ids(await store.search(name, axis(0), limit=9, threshold=0.0)) == ["0", "1", "2"]
    assert ids(await store.search(name, axis(0), limit=9, offset=1, threshold=0.7)) == ["1"]
    assert await store.search(name, axis(2), limit=9, threshold=0.1) == []


async def test_a_filter_is_applied_inside_the_search(store: CollectionStore, name: str) -> None:
    vectors = random_vectors(500, D)
    await store.upsert(name, items(vectors))
    farthest = np.argsort(vectors @ vectors[0])[:5]
    among = parse(" OR ".join(f"number = {n}" for n in farthest))
    hits = await store.search(name, vectors[0], limit=5, filter=among)
    assert ids(hits) == [str(n) for n in farthest[::-1]]
    assert await store.search(name, vectors[0], limit=5, filter=parse("number < 0")) == []


async def test_a_filter_sees_what_was_written_since_its_last_use(
    store: CollectionStore, name: str
) -> None:
    red = parse('colour = "red"')
    await store.upsert(name, [item("a", colour="red"), item("b", colour="blue")])
    assert ids(await store.search(name, axis(0), limit=9, filter=red)) == ["a"]
    await store.upsert(name, [item("c", colour="red"), item("b", colour="red")])
    assert ids(await store.search(name, axis(0), limit=9, filter=red)) == ["a", "c", "b"]
    await store.upsert(name, [item("a", colour="blue")])
    await store.delete_items(name, ["c"])
    assert ids(await store.search(name, axis(0), limit=9, filter=red)) == ["b"]


async def test_filters_that_differ_only_in_type_are_kept_apart(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item("number", a=1), item("truth", a=True)])
    assert ids(await store.search(name, axis(0), limit=9, filter=parse("a = 1"))) == ["number"]
    assert ids(await store.search(name, axis(0), limit=9, filter=parse("a = true"))) == ["truth"]


async def test_excluded_items_make_room_for_others(store: CollectionStore, name: str) -> None:
    await store.upsert(name, [item(each) for each in "abcd"])
    assert ids(await store.search(name, axis(0), limit=2, exclude=["a", "c", "nope"])) == ["b", "d"]


async def test_a_query_of_another_dimension_is_refused(store: CollectionStore, name: str) -> None:
    await store.upsert(name, [item("a")])
    with pytest.raises(InvalidArgument) as caught:
        await store.search(name, np.ones(D - 1, np.float32), limit=1)
    assert caught.value.reason == "DIMENSION_MISMATCH"


# Side by side


async def test_writes_side_by_side_are_all_done(store: CollectionStore, name: str) -> None:
    vectors = random_vectors(300, D)
    created = await asyncio.gather(*(store.upsert(name, [each]) for each in items(vectors)))
    assert created == [[True]] * 300
    assert (await store.get(name)).item_count == 300
    for number in (0, 150, 299):
        (hit,) = await store.search(name, vectors[number], limit=1)
        assert hit.item.id == str(number)


async def test_writes_are_done_in_the_order_in_which_they_were_asked_for(
    store: CollectionStore, name: str
) -> None:
    await asyncio.gather(*(store.upsert(name, [item("x", n=n)]) for n in range(100)))
    assert (await store.get_item(name, "x", NOTHING)).metadata == {"n": 99}


async def test_a_search_sees_what_was_acknowledged_before_it(
    store: CollectionStore, name: str
) -> None:
    for n in range(40):
        await store.upsert(name, [item("x", axis(n % D))])
        (hit,) = await store.search(name, axis(n % D), limit=5)
        assert hit.score == 1.0
    await store.delete_items(name, ["x"])
    assert await store.search(name, axis(0), limit=5) == []


async def test_an_item_that_is_replaced_over_and_over_is_always_there_once(
    store: CollectionStore, name: str
) -> None:
    await store.upsert(name, [item("x", n=0), item("y")])
    enough = asyncio.Event()

    async def replace() -> None:
        replaced = 0
        while replaced < 150 or not enough.is_set():
            replaced += 1
            await store.upsert(name, [item("x", n=replaced)])

    writing = asyncio.create_task(replace())
    searches = 0
    while not writing.done():
        hits = await store.search(name, axis(0), limit=5, filter=parse("id:*"))
        assert sorted(ids(hits)) == ["x", "y"]
        searches += 1
        if searches > 10:
            enough.set()
    await writing


async def test_a_caller_who_gives_up_does_no_harm(store: CollectionStore, name: str) -> None:
    writes = [asyncio.ensure_future(store.upsert(name, [item(f"{n}")])) for n in range(200)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    kept = {str(n) for n, outcome in enumerate(outcomes) if outcome == [True]}
    assert {str(n) for n in range(1, 200, 2)} <= kept
    found = set(ids(await store.search(name, axis(0), limit=500)))
    page = await store.list_items(name, limit=500, cursor=None, filter=None, include=NOTHING)
    assert kept <= found == {each.id for each in page.items}
    assert (await store.get(name)).item_count == len(found)
