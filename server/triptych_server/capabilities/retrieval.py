"""Collections of embedded items, and search in them."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych_server.capabilities.concurrency import run_all
from triptych_server.capabilities.embedding import Embedded, Embedder
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.queries import (
    MAX_DEPTH,
    ItemReference,
    RankedHit,
    Rerank,
    SearchQuery,
    SearchResult,
    Term,
    Vector,
)
from triptych_server.capabilities.reranking import Reranker
from triptych_server.capabilities.timing import StageTimes
from triptych_server.capabilities.vectors import unit, unit_sum
from triptych_server.engines.collections import (
    Collection,
    CollectionStore,
    Hit,
    Include,
    IndexPolicy,
    Item,
    ItemPage,
    StoredContent,
    StoredItem,
)
from triptych_server.engines.collections.filters import Filter
from triptych_server.errors import FailedPrecondition, InvalidArgument, NotFound, TriptychError
from triptych_server.media.content import Content, RawImage, Text
from triptych_server.media.image import to_png


@dataclass(frozen=True, slots=True)
class Draft:
    """An item to be embedded and written; `source` is what it is found by."""

    id: str
    metadata: Mapping[str, Any]
    uri: str
    source: Content | Vector
    store_content: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item ready to write."""

    item: Item
    truncated: bool


class Retrieval:
    """Composes a store with the models that make its vectors. Heavy steps run in `executor`."""

    def __init__(
        self,
        store: CollectionStore,
        catalog: ModelCatalog,
        embedder: Embedder,
        reranker: Reranker,
        executor: Executor,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._embedder = embedder
        self._reranker = reranker
        self._executor = executor

    async def create_collection(self, name: str, model_name: str, index: IndexPolicy) -> Collection:
        """Make a collection pinned to the present space of the model."""
        model = self._catalog.get(model_name)
        return await self._store.create(
            name, model=model.name, space=model.space, dimension=model.dimension, index=index
        )

    async def get_collection(self, name: str) -> Collection:
        return await self._store.get(name)

    async def list_collections(self, *, limit: int, after: str) -> list[Collection]:
        return await self._store.list(limit=limit, after=after)

    async def delete_collection(self, name: str) -> None:
        await self._store.delete(name)

    async def get_item(self, name: str, item_id: str, include: Include) -> StoredItem:
        return await self._store.get_item(name, item_id, include)

    async def list_items(
        self, name: str, *, limit: int, cursor: int | None, filter: Filter | None
    ) -> ItemPage:
        return await self._store.list_items(
            name, limit=limit, cursor=cursor, filter=filter, include=Include()
        )

    async def delete_items(self, name: str, ids: Sequence[str]) -> Sequence[bool]:
        return await self._store.delete_items(name, ids)

    async def prepare(self, collection: Collection, draft: Draft) -> Prepared:
        """Embed a draft as the collection asks."""
        if isinstance(draft.source, np.ndarray):
            vector, truncated = _unit(draft.source, collection, "vector"), False
        else:
            try:
                model = self._model(collection)
                embedded = await self._embedder.embed_patiently(model, draft.source)
            except InvalidArgument as error:
                raise error.within("content") from None
            vector, truncated = embedded.vector, embedded.truncated
        content = await self._content(draft)
        item = Item(draft.id, vector, draft.metadata, draft.uri, content)
        return Prepared(item, truncated)

    async def write(
        self, collection: Collection, prepared: Sequence[Prepared | TriptychError]
    ) -> list[bool | TriptychError]:
        """Write what could be prepared, in order; returns for each whether its id was new, or the
        error that stands in its place."""
        items = [each.item for each in prepared if isinstance(each, Prepared)]
        try:
            await self._check_same(collection)
            created = iter(await self._store.upsert(collection.name, items) if items else ())
        except TriptychError as error:
            return [each if isinstance(each, TriptychError) else error for each in prepared]
        return [each if isinstance(each, TriptychError) else next(created) for each in prepared]

    async def search(self, query: SearchQuery) -> SearchResult:
        """Embed the query's terms, add them up, and search with the sum; then rerank if asked."""
        if query.rerank:
            return await self._reranked(query, query.rerank)
        collection = await self._store.get(query.collection)
        vector, times = await self._vector(collection, query)
        # One hit more than asked tells whether there is another page.
        hits = await self._nearest(query, vector, query.limit + 1, query.offset, query.include)
        more = len(hits) > query.limit and query.offset + query.limit < MAX_DEPTH
        ranked = [RankedHit(hit.item, hit.score) for hit in hits[: query.limit]]
        return SearchResult(ranked, more, times)

    async def _reranked(self, query: SearchQuery, rerank: Rerank) -> SearchResult:
        """A page of the nearest items in their second order."""
        text = query.terms[0].source
        assert isinstance(text, Text), "what is reranked is searched by text"
        model = self._reranker.model(rerank)
        collection = await self._store.get(query.collection)
        vector, times = await self._vector(collection, query)
        hits = await self._nearest(query, vector, rerank.candidates, 0, Include())
        ranked, took = await self._reranker.rerank(query.collection, model, text.text, hits)
        end = query.offset + query.limit
        page = ranked[query.offset : end]
        if query.include.content or query.include.vector:
            page = await self._with_parts(query.collection, page, query.include)
        return SearchResult(page, end < len(ranked), times.then(took))

    async def _vector(
        self, collection: Collection, query: SearchQuery
    ) -> tuple[Vector, StageTimes]:
        """The unit vector of the query."""
        parts = await run_all(
            self._term(collection, term, position) for position, term in enumerate(query.terms)
        )
        weights = [term.weight for term in query.terms]
        vector = unit_sum([part.vector for part in parts], weights, "query.terms")
        return vector, StageTimes.longest(part.times for part in parts)

    async def _nearest(
        self, query: SearchQuery, vector: Vector, limit: int, offset: int, include: Include
    ) -> Sequence[Hit]:
        return await self._store.search(
            query.collection,
            vector,
            limit=limit,
            offset=offset,
            threshold=query.threshold,
            filter=query.filter,
            exclude=[t.source.id for t in query.terms if isinstance(t.source, ItemReference)],
            include=include,
        )

    async def _with_parts(
        self, collection: str, hits: Sequence[RankedHit], include: Include
    ) -> list[RankedHit]:
        """The hits with the heavy parts of their items; one deleted meanwhile stays without."""
        items = await self._store.get_items(collection, [hit.item.id for hit in hits], include)
        return [replace(hit, item=items.get(hit.item.id, hit.item)) for hit in hits]

    async def _term(self, collection: Collection, term: Term, position: int) -> Embedded:
        """The unit vector of one term."""
        field = f"query.terms[{position}]"
        if isinstance(term.source, np.ndarray):
            vector = _unit(term.source, collection, f"{field}.vector")
            return Embedded(vector, False, StageTimes())
        if isinstance(term.source, ItemReference):
            try:
                item = await self._store.get_item(
                    collection.name, term.source.id, Include(vector=True)
                )
            except NotFound as error:
                raise error.at(f"{field}.item_id") from None
            assert item.vector is not None, "it was asked for"
            return Embedded(item.vector, False, StageTimes())
        try:
            return await self._embedder.embed(self._model(collection), term.source)
        except InvalidArgument as error:
            raise error.within(f"{field}.content") from None

    def _model(self, collection: Collection) -> Model:
        """The collection's model, provided that it still makes vectors of its space."""
        try:
            model = self._catalog.get(collection.model)
        except (NotFound, FailedPrecondition) as error:
            raise FailedPrecondition(
                f"the collection {collection.name!r} needs the model {collection.model!r}: {error}",
                reason="MODEL_MISSING",
                field="collection",
            ) from None
        if model.space != collection.space:
            raise FailedPrecondition(
                f"the collection {collection.name!r} is pinned to the space {collection.space}, "
                f"and the model {model.name!r} is now of {model.space}",
                reason="SPACE_MISMATCH",
                field="collection",
            )
        return model

    async def _check_same(self, collection: Collection) -> None:
        """Refuse to write vectors of one collection into another that took its name."""
        present = await self._store.get(collection.name)
        if present.create_time != collection.create_time:
            raise FailedPrecondition(
                f"the collection {collection.name!r} was deleted and made again",
                reason="COLLECTION_REPLACED",
                field="collection",
            )

    async def _content(self, draft: Draft) -> StoredContent | None:
        if not draft.store_content or isinstance(draft.source, np.ndarray):
            return None
        if isinstance(draft.source, Text):
            return StoredContent("text", draft.source.text.encode())
        if isinstance(draft.source, RawImage):
            loop = asyncio.get_running_loop()
            png = await loop.run_in_executor(self._executor, to_png, draft.source)
            return StoredContent("image", png)
        return StoredContent("image", draft.source.data)


def _unit(vector: Vector, collection: Collection, field: str) -> Vector:
    owner = f"the collection {collection.name!r}"
    return unit(vector, field, dimension=collection.dimension, owner=owner)
