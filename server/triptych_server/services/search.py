"""SearchService."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from triptych.v1 import search_pb2, search_pb2_grpc
from triptych_server.capabilities.concurrency import Bounds, in_order, run_all
from triptych_server.capabilities.queries import MAX_DEPTH, SearchQuery
from triptych_server.capabilities.retrieval import Prepared, Retrieval
from triptych_server.capabilities.timing import Stopwatch
from triptych_server.engines.collections import Collection, Include
from triptych_server.engines.collections.filters import Filter, FilterSyntaxError, parse
from triptych_server.errors import InvalidArgument, TriptychError
from triptych_server.services import media, page_tokens, search_messages
from triptych_server.services.rules import check
from triptych_server.services.search_rules import (
    BATCH_SEARCH,
    CREATE_COLLECTION,
    DELETE_ITEMS,
    GET_ITEM,
    LIST_COLLECTIONS,
    LIST_ITEMS,
    NAMED,
    OF_COLLECTION,
    SEARCH,
    UPSERT_ITEM,
)

DEFAULT_PAGE_SIZE = 100
DEFAULT_LIMIT = 10
MAX_BATCH_BYTES = 48 * media.MIB
SIDE_BY_SIDE = 8  # searches of a batch


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """Collections, items and search over `Retrieval`; `bounds` are those of each stream."""

    def __init__(self, retrieval: Retrieval, bounds: Bounds) -> None:
        self._bounds = bounds
        self._retrieval = retrieval

    async def CreateCollection(
        self, request: search_pb2.CreateCollectionRequest, context: Any
    ) -> search_pb2.CreateCollectionResponse:
        check(CREATE_COLLECTION, request)
        wanted = request.collection
        try:
            collection = await self._retrieval.create_collection(
                wanted.name, wanted.model, search_messages.index_policy(wanted.index)
            )
        except TriptychError as error:
            raise error.within("collection") if error.field else error from None
        return search_pb2.CreateCollectionResponse(
            collection=search_messages.collection(collection)
        )

    async def GetCollection(
        self, request: search_pb2.GetCollectionRequest, context: Any
    ) -> search_pb2.GetCollectionResponse:
        check(NAMED, request)
        collection = await self._retrieval.get_collection(request.name)
        return search_pb2.GetCollectionResponse(collection=search_messages.collection(collection))

    async def ListCollections(
        self, request: search_pb2.ListCollectionsRequest, context: Any
    ) -> search_pb2.ListCollectionsResponse:
        check(LIST_COLLECTIONS, request)
        after = page_tokens.decode(request, str) or ""
        size = request.page_size or DEFAULT_PAGE_SIZE
        found = await self._retrieval.list_collections(limit=size + 1, after=after)
        page = found[:size]
        return search_pb2.ListCollectionsResponse(
            collections=[search_messages.collection(each) for each in page],
            next_page_token=(
                page_tokens.encode(request, page[-1].name) if len(found) > size else ""
            ),
        )

    async def DeleteCollection(
        self, request: search_pb2.DeleteCollectionRequest, context: Any
    ) -> search_pb2.DeleteCollectionResponse:
        check(NAMED, request)
        await self._retrieval.delete_collection(request.name)
        return search_pb2.DeleteCollectionResponse()

    async def UpsertItems(
        self, requests: AsyncIterator[search_pb2.UpsertItemsRequest], context: Any
    ) -> AsyncIterator[search_pb2.UpsertItemsResponse]:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        check(OF_COLLECTION, first)
        collection = await self._retrieval.get_collection(first.collection)

        async def prepare(
            request: search_pb2.UpsertItemsRequest,
        ) -> tuple[str, Prepared | TriptychError]:
            try:
                return request.item.id, await self._prepare(collection, request)
            except TriptychError as error:
                return request.item.id, error

        stream = in_order(
            _prepend(first, requests),
            prepare,
            search_pb2.UpsertItemsRequest.ByteSize,
            self._bounds,
        )
        async for ready in stream:
            prepared = [each for _, each in ready]
            outcomes = await self._retrieval.write(collection, prepared)
            for (item_id, each), outcome in zip(ready, outcomes, strict=True):
                yield search_messages.upserted(item_id, each, outcome)

    async def _prepare(
        self, collection: Collection, request: search_pb2.UpsertItemsRequest
    ) -> Prepared:
        check(UPSERT_ITEM, request)
        if request.collection not in ("", collection.name):
            raise InvalidArgument(
                "collection", f"this stream writes to {collection.name!r}; open another"
            )
        return await self._retrieval.prepare(collection, search_messages.draft(request))

    async def GetItem(
        self, request: search_pb2.GetItemRequest, context: Any
    ) -> search_pb2.GetItemResponse:
        check(GET_ITEM, request)
        include = Include(request.include_content, request.include_vector)
        item = await self._retrieval.get_item(request.collection, request.id, include)
        return search_pb2.GetItemResponse(item=search_messages.item(item))

    async def ListItems(
        self, request: search_pb2.ListItemsRequest, context: Any
    ) -> search_pb2.ListItemsResponse:
        check(LIST_ITEMS, request)
        page = await self._retrieval.list_items(
            request.collection,
            limit=request.page_size or DEFAULT_PAGE_SIZE,
            cursor=page_tokens.decode(request, int),
            filter=_filter(request.filter),
        )
        return search_pb2.ListItemsResponse(
            items=[search_messages.item(each) for each in page.items],
            next_page_token=(
                "" if page.cursor is None else page_tokens.encode(request, page.cursor)
            ),
        )

    async def DeleteItems(
        self, request: search_pb2.DeleteItemsRequest, context: Any
    ) -> search_pb2.DeleteItemsResponse:
        check(DELETE_ITEMS, request)
        deleted = await self._retrieval.delete_items(request.collection, list(request.ids))
        return search_pb2.DeleteItemsResponse(
            results=[
                search_messages.deleted(position, item_id, found)
                for position, (item_id, found) in enumerate(zip(request.ids, deleted, strict=True))
            ]
        )

    async def Search(
        self, request: search_pb2.SearchRequest, context: Any
    ) -> search_pb2.SearchResponse:
        return await self._search(request)

    async def BatchSearch(
        self, request: search_pb2.BatchSearchRequest, context: Any
    ) -> search_pb2.BatchSearchResponse:
        check(BATCH_SEARCH, request)
        response = search_pb2.BatchSearchResponse()
        size = 0
        for first in range(0, len(request.requests), SIDE_BY_SIDE):
            part = request.requests[first : first + SIDE_BY_SIDE]
            for result in await run_all(self._search_or_error(each) for each in part):
                size += result.ByteSize()
                if size > MAX_BATCH_BYTES:
                    result.error.CopyFrom(media.item_error(_too_large()))
                response.results.append(result)
        return response

    async def _search_or_error(
        self, request: search_pb2.SearchRequest
    ) -> search_pb2.BatchSearchResult:
        try:
            return search_pb2.BatchSearchResult(response=await self._search(request))
        except TriptychError as error:
            return search_pb2.BatchSearchResult(error=media.item_error(error))

    async def _search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        watch = Stopwatch()
        check(SEARCH, request)
        # Queries may hold pictures, and tokens a digest of them.
        offset = await asyncio.to_thread(page_tokens.decode, request, int) or 0
        if offset >= MAX_DEPTH:
            raise InvalidArgument("page_token", "is of another request")
        limit = min(request.limit or DEFAULT_LIMIT, MAX_DEPTH - offset)
        query = SearchQuery(
            collection=request.collection,
            terms=[search_messages.term(term) for term in request.query.terms],
            limit=limit,
            offset=offset,
            threshold=(request.score_threshold if request.HasField("score_threshold") else None),
            filter=_filter(request.filter),
            include=Include(request.include_content, request.include_vector),
            rerank=search_messages.rerank(request.rerank) if request.HasField("rerank") else None,
        )
        result = await self._retrieval.search(query)
        token = ""
        if result.more:
            token = await asyncio.to_thread(page_tokens.encode, request, offset + limit)
        return search_pb2.SearchResponse(
            hits=[search_messages.hit(hit) for hit in result.hits],
            next_page_token=token,
            timing=media.timing(watch, result.times),
        )


def _too_large() -> InvalidArgument:
    return InvalidArgument(
        "limit",
        f"the answers before this one fill the {MAX_BATCH_BYTES:,} bytes of the batch",
        reason="RESPONSE_TOO_LARGE",
    )


def _filter(text: str) -> Filter | None:
    if not text.strip():
        return None
    try:
        return parse(text)
    except FilterSyntaxError as error:
        raise InvalidArgument("filter", str(error), reason="FILTER_SYNTAX") from None


async def _prepend(
    first: search_pb2.UpsertItemsRequest, rest: AsyncIterator[search_pb2.UpsertItemsRequest]
) -> AsyncIterator[search_pb2.UpsertItemsRequest]:
    yield first
    async for request in rest:
        yield request
