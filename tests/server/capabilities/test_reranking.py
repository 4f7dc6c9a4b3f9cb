"""Stored pictures that are compared, or cannot be."""

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from calls import png
from stores import create_collection
from tiny_blip2 import write_matcher
from vectors import unit

from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.queries import RankedHit, Rerank
from triptych_server.capabilities.reranking import FILES, Reranker
from triptych_server.engines.collections import Hit, Include, Item, StoredContent, StoredItem
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.errors import FailedPrecondition, NotFound

NAME = "pictures"
RED, GREEN = (255, 0, 0), (0, 255, 0)
VECTOR = unit(np.ones(4))


class CountingStore(LocalCollectionStore):
    """Remembers how many items were read at once at most."""

    reading = most = 0

    async def get_item(self, name: str, item_id: str, include: Include) -> StoredItem:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            return await super().get_item(name, item_id, include)
        finally:
            self.reading -= 1


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CountingStore]:
    store = CountingStore(tmp_path / "data", threads=2)
    await create_collection(store, NAME, 4)
    yield store
    await store.close()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
async def reranker(
    store: CountingStore, executor: ThreadPoolExecutor, tmp_path: Path
) -> AsyncIterator[Reranker]:
    write_matcher(tmp_path / "models", "tiny")
    engine = OnnxEngine(tmp_path / "models", threads=2, queue_rows=1024)
    await engine.load()
    catalog = ModelCatalog(engine, tmp_path / "models")
    await catalog.refresh()
    yield Reranker(store, catalog, Matcher(Encoding(engine, catalog, executor)))
    await engine.close()


def picture(colour: Sequence[int]) -> StoredContent:
    return StoredContent("image", png(np.full((20, 30, 3), colour, np.uint8)))


async def nearest(store: CountingStore, *contents: StoredContent | None) -> Sequence[Hit]:
    """Write items `i0`, `i1`, ... of these contents, and find them in that order."""
    items = [Item(f"i{n}", VECTOR, {}, content=each) for n, each in enumerate(contents)]
    await store.upsert(NAME, items)
    return await store.search(NAME, VECTOR, limit=len(contents))


async def reranked(reranker: Reranker, hits: Sequence[Hit]) -> list[RankedHit]:
    ranked, _ = await reranker.rerank(NAME, reranker.model(Rerank("", 20)), "red", hits)
    return ranked


async def test_pictures_that_match_come_first(store: CountingStore, reranker: Reranker) -> None:
    hits = await nearest(store, *(picture(RED if n % 3 == 0 else GREEN) for n in range(100)))
    ranked = await reranked(reranker, hits)
    reds, others = list(range(0, 100, 3)), [n for n in range(100) if n % 3]
    assert [hit.item.id for hit in ranked] == [f"i{n}" for n in reds + others]
    assert store.most == FILES


async def test_a_stored_picture_that_no_longer_decodes_is_named(
    store: CountingStore, reranker: Reranker
) -> None:
    hits = await nearest(store, picture(RED), StoredContent("image", b"spoiled"))
    with pytest.raises(FailedPrecondition, match="'i1'") as caught:
        await reranked(reranker, hits)
    assert caught.value.reason == "IMAGE_UNREADABLE"
    assert len(await reranked(reranker, hits[:1])) == 1


@pytest.mark.parametrize("content", [None, StoredContent("text", b"red")], ids=["none", "text"])
async def test_an_item_without_a_picture_is_named(
    store: CountingStore, reranker: Reranker, content: StoredContent | None
) -> None:
    hits = await nearest(store, picture(RED), picture(RED), content)
    with pytest.raises(FailedPrecondition, match="'i2'") as caught:
        await reranked(reranker, hits)
    assert caught.value.reason == "CONTENT_NOT_STORED"


async def test_an_item_deleted_meanwhile_is_left_out(
    store: CountingStore, reranker: Reranker
) -> None:
    hits = await nearest(store, picture(GREEN), picture(RED), picture(RED))
    await store.delete_items(NAME, ["i1"])
    assert [hit.item.id for hit in await reranked(reranker, hits)] == ["i2", "i0"]


async def test_a_collection_deleted_meanwhile_is_not_found(
    store: CountingStore, reranker: Reranker
) -> None:
    hits = await nearest(store, picture(GREEN))
    await store.delete(NAME)
    with pytest.raises(NotFound, match=NAME):
        await reranked(reranker, hits)


async def test_an_unknown_model_is_told_by_its_field(reranker: Reranker) -> None:
    with pytest.raises(NotFound) as caught:
        reranker.model(Rerank("none", 20))
    assert caught.value.field == "rerank.model"


async def test_nothing_found_is_nothing_to_compare(reranker: Reranker) -> None:
    assert await reranked(reranker, []) == []
