"""The embedded store as a citizen of its machine: files, limits, failures."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stores import StoreOpener, create_collection
from vectors import items, random_vectors

from triptych_server.engines.collections import Include, IndexKind
from triptych_server.engines.collections.filters import parse
from triptych_server.errors import (
    AlreadyExists,
    FailedPrecondition,
    Internal,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

D = 16
VECTORS = random_vectors(2_000, D)


async def test_a_directory_belongs_to_one_store_at_a_time(open_store: StoreOpener) -> None:
    store = open_store()
    with pytest.raises(FailedPrecondition, match=str(open_store.root)) as caught:
        open_store()
    assert caught.value.reason == "DATA_DIRECTORY_IN_USE"
    await store.close()
    open_store()


async def test_closing_finishes_what_was_asked_for(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D)
    writes = asyncio.gather(*(store.upsert("a", [item]) for item in items(VECTORS[:200])))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert await writes == [[True]] * 200
    with pytest.raises(Unavailable):
        await store.get("a")
    assert (await open_store().get("a")).item_count == 200


async def test_collections_are_there_after_a_restart(open_store: StoreOpener) -> None:
    store = open_store()
    for name in ("a", "b", "c"):
        await create_collection(store, name, D)
        await store.upsert(name, items(VECTORS[:10], prefix=name))
    await store.delete("b")
    before = await store.list(limit=9)
    await store.close()
    again = open_store()
    assert await again.list(limit=9) == before
    (hit,) = await again.search("c", VECTORS[3], limit=1)
    assert hit.item.id == "c3"


async def test_a_full_disk_is_reported_and_what_was_written_stays(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    await create_collection(store, "a", D)
    await store.upsert("a", items(VECTORS[:100]))
    with no_room_for_files():
        with pytest.raises(Unavailable) as caught:
            await store.upsert("a", items(VECTORS[100:2_000], start=100))
        assert caught.value.reason == "STORE_UNAVAILABLE"
        assert (await store.get("a")).item_count == 100
        assert len(await store.search("a", VECTORS[0], limit=500)) == 100
    assert await store.upsert("a", items(VECTORS[100:102], start=100)) == [True, True]
    (hit,) = await store.search("a", VECTORS[101], limit=1)
    assert hit.item.id == "101"
    await store.close()
    assert (await open_store().get("a")).item_count == 102


async def test_a_merge_that_fails_does_not_stop_the_collection(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    blocker = open_store.directory("a") / ".segment-1"
    blocker.write_text("in the way")
    await store.upsert("a", items(VECTORS))
    await store.settle("a")
    (hit,) = await store.search("a", VECTORS[7], limit=1)
    assert hit.item.id == "7"
    assert await store.delete_items("a", ["7"]) == [True]


async def test_a_damaged_collection_fails_alone_and_can_be_deleted(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    for name in ("good", "bad"):
        await create_collection(store, name, D)
        await store.upsert(name, items(VECTORS[:10]))
    await store.close()
    for file in open_store.directory("bad").iterdir():
        file.write_bytes(b"this is no database, and it never was one" * 200)
    again = open_store()
    assert [each.name for each in await again.list(limit=9)] == ["good"]
    assert len(await again.search("good", VECTORS[0], limit=99)) == 10
    with pytest.raises(Internal, match="bad"):
        await again.search("bad", VECTORS[0], limit=1)
    with pytest.raises(AlreadyExists):
        await create_collection(again, "bad", D)
    await again.delete("bad")
    await create_collection(again, "bad", D)
    assert (await again.get("bad")).item_count == 0


async def test_too_many_waiting_writes_are_refused_at_once(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D)
    written = items(VECTORS)
    writes = [asyncio.ensure_future(store.upsert("a", written)) for _ in range(60)]
    await asyncio.sleep(0)
    refused = [write for write in writes if write.done()]
    assert 0 < len(refused) < len(writes)
    for write in refused:
        with pytest.raises(ResourceExhausted):
            await write
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    assert len(await store.upsert("a", written[:1])) == 1


async def test_a_collection_deleted_under_searches_and_writes_is_not_found(
    open_store: StoreOpener,
) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    await store.upsert("a", items(VECTORS))
    calls = [
        asyncio.ensure_future(call)
        for n in range(50)
        for call in (
            store.search("a", VECTORS[n], limit=10, filter=parse(f"number != {n}")),
            store.get_item("a", str(n), Include()),
            store.upsert("a", items(VECTORS[n : n + 1], prefix="new")),
        )
    ]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await store.delete("a")
    await create_collection(store, "a", D)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, NotFound) for each in outcomes if isinstance(each, BaseException))
    assert (await store.get("a")).item_count == 0


async def test_nothing_of_a_deleted_collection_stays_on_disk(open_store: StoreOpener) -> None:
    store = open_store()
    await create_collection(store, "a", D, IndexKind.HNSW)
    await store.upsert("a", items(VECTORS))
    await store.delete("a")  # a merge is under way
    assert [path.name for path in open_store.directory("").iterdir()] == [".lock"]


@contextmanager
def no_room_for_files() -> Iterator[None]:
    """No file may grow beyond a few pages, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
