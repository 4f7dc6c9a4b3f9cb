"""What a client holds by name, for asyncio: collections, their items, and models."""

from collections.abc import AsyncIterator, Iterable

from triptych import requests, responses
from triptych.aio.transport import Transport
from triptych.models import Model
from triptych.types import Collection, Deleted, Index, StoredItem
from triptych.v1 import model_pb2, search_pb2


class Collections:
    """Create, get, list and delete collections."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stub = transport.search

    async def create(
        self,
        name: str,
        *,
        model: str = "",
        index: Index | None = None,
        timeout: float | None = None,
    ) -> Collection:
        """Make an empty collection for `model` (empty: the gateway's default model).

        Without an `index` the gateway chooses how to search by the number of items. Raises
        `AlreadyExistsError` when the name is taken.
        """
        request = requests.create_collection(name, model, index)
        response = await self._transport.call(self._stub.CreateCollection, request, timeout)
        return responses.collection(response.collection)

    async def get(self, name: str, *, timeout: float | None = None) -> Collection:
        """Raises `NotFoundError`."""
        request = search_pb2.GetCollectionRequest(name=name)
        response = await self._transport.call(self._stub.GetCollection, request, timeout)
        return responses.collection(response.collection)

    async def list(self, *, timeout: float | None = None) -> AsyncIterator[Collection]:
        """All collections by name, fetched page by page; `timeout` is that of each page."""
        request = search_pb2.ListCollectionsRequest(page_size=requests.PAGE_SIZE)
        while True:
            page = await self._transport.call(self._stub.ListCollections, request, timeout)
            for message in page.collections:
                yield responses.collection(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(self, name: str, *, timeout: float | None = None) -> None:
        """Delete a collection with all its items. Raises `NotFoundError`."""
        request = search_pb2.DeleteCollectionRequest(name=name)
        await self._transport.call(self._stub.DeleteCollection, request, timeout)


class Items:
    """Get, list and delete the items of a collection; `Client.upsert` writes them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stub = transport.search

    async def get(
        self,
        collection: str,
        item_id: str,
        *,
        include_content: bool = False,
        include_vector: bool = False,
        timeout: float | None = None,
    ) -> StoredItem:
        """Raises `NotFoundError`."""
        request = search_pb2.GetItemRequest(
            collection=collection,
            id=item_id,
            include_content=include_content,
            include_vector=include_vector,
        )
        response = await self._transport.call(self._stub.GetItem, request, timeout)
        return responses.item(response.item)

    async def list(
        self, collection: str, *, filter: str = "", timeout: float | None = None
    ) -> AsyncIterator[StoredItem]:
        """The items that match `filter`, least recently written first, fetched page by page."""
        request = search_pb2.ListItemsRequest(
            collection=collection, filter=filter, page_size=requests.PAGE_SIZE
        )
        while True:
            page = await self._transport.call(self._stub.ListItems, request, timeout)
            for message in page.items:
                yield responses.item(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(
        self, collection: str, ids: Iterable[str], *, timeout: float | None = None
    ) -> tuple[Deleted, ...]:
        """One answer for each id; when it returns, deletions are on disk and out of searches."""
        answers: tuple[Deleted, ...] = ()
        for request in requests.delete_items(collection, ids):
            response = await self._transport.call(self._stub.DeleteItems, request, timeout)
            answers += responses.deleted(response)
        return answers


class Models:
    """Get and list the models that calls may name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stub = transport.model

    async def get(self, name: str = "", *, timeout: float | None = None) -> Model:
        """One model; the gateway's default when `name` is empty. Raises `NotFoundError`."""
        request = model_pb2.GetModelRequest(name=name)
        response = await self._transport.call(self._stub.GetModel, request, timeout)
        return responses.model(response.model)

    async def list(self, *, timeout: float | None = None) -> AsyncIterator[Model]:
        """All models by name, those that cannot serve too, fetched page by page."""
        request = model_pb2.ListModelsRequest(page_size=requests.PAGE_SIZE)
        while True:
            page = await self._transport.call(self._stub.ListModels, request, timeout)
            for message in page.models:
                yield responses.model(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
