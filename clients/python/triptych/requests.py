"""Callers' values to request messages: the half of the clients that both share, on the way out.

Everything here is pure but for the reading of picture files. What cannot be sent raises `TypeError`
or `ValueError` with the argument's name.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from PIL import Image

from triptych import contents, metadata, vectors
from triptych.contents import MIB, Content
from triptych.types import Index, IndexKind, Item, ItemRef, Query, Rerank, RerankKind, Search, Term
from triptych.v1 import embedding_pb2, search_pb2

EMBED_CONTENTS = 256  # contents that one Embed call takes
CALL_BYTES = 32 * MIB  # of contents, from where a further call is made
DELETE_IDS = 1_000  # ids that one DeleteItems call takes
BATCH_SEARCHES = 64  # searches that one BatchSearch call takes
PAGE_SIZE = 1_000  # of the lists that the clients walk page by page

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_RERANK_KINDS = {RerankKind.ITM: search_pb2.Rerank.KIND_ITM}
_INDEX_KINDS = {
    IndexKind.AUTO: search_pb2.Index.KIND_AUTO,
    IndexKind.FLAT: search_pb2.Index.KIND_FLAT,
    IndexKind.HNSW: search_pb2.Index.KIND_HNSW,
}


def embed(given: Content | Iterable[Content], model: str) -> Iterator[embedding_pb2.EmbedRequest]:
    """As many requests as needed. All contents are checked now, their files read one by one."""
    one_by_one = several(given, "contents")
    for position, content in enumerate(one_by_one):
        contents.check(content, f"contents[{position}]")
    messages = (
        contents.to_message(content, f"contents[{position}]")
        for position, content in enumerate(one_by_one)
    )
    return (
        embedding_pb2.EmbedRequest(model=model, contents=batch)
        for batch in batches(messages, EMBED_CONTENTS)
    )


def several(given: object, where: str) -> list[Any]:
    """One value or several, at least one; an array `[N, H, W, 3]` is N pictures."""
    if (
        isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Image.Image)
        or (isinstance(given, np.ndarray) and given.ndim != 4)
        or not isinstance(given, Iterable)
    ):
        return [given]
    one_by_one = list(given)
    if not one_by_one:
        raise ValueError(f"{where}: nothing is given")
    return one_by_one


def batches(messages: Iterable[M], most: int) -> Iterator[list[M]]:
    """Batches of up to `most` messages, cut earlier where they would get too large for a call."""
    batch: list[M] = []
    size = 0
    for message in messages:
        added = message.ByteSize()
        if batch and (len(batch) == most or size + added > CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += added
    yield batch


def fill(message: Message, values: Mapping[str, object], where: str = "") -> None:
    """Set the fields of a message that are not None; errors name the field, after `where`."""
    for name, value in values.items():
        if value is None:
            continue
        try:
            setattr(message, name, value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}.{name}: {error}".lstrip(".")) from None


def stream_embed(key: str, content: Content, model: str) -> embedding_pb2.StreamEmbedRequest:
    return embedding_pb2.StreamEmbedRequest(
        id=key, model=model, content=contents.to_message(content, f"content of {key!r}")
    )


def rank(
    query: Content, candidates: Iterable[Content], templates: Iterable[str], limit: int, model: str
) -> embedding_pb2.RankRequest:
    if isinstance(candidates, str) or isinstance(templates, str):
        raise TypeError("candidates and templates are sequences, not one str")
    return embedding_pb2.RankRequest(
        model=model,
        query=contents.to_message(query, "query"),
        candidates=[
            contents.to_message(candidate, f"candidates[{position}]")
            for position, candidate in enumerate(candidates)
        ],
        templates=list(templates),
        limit=limit,
    )


def create_collection(
    name: str, model: str, index: Index | None
) -> search_pb2.CreateCollectionRequest:
    collection = search_pb2.Collection(name=name, model=model)
    if index is not None:
        collection.index.kind = _INDEX_KINDS[index.kind]
        collection.index.threshold = index.threshold
    return search_pb2.CreateCollectionRequest(collection=collection)


def upsert(collection: str, item: Item) -> search_pb2.UpsertItemsRequest:
    where = f"item {item.id!r}"
    if (item.content is None) == (item.vector is None):
        raise ValueError(f"{where}: exactly one of content and vector must be given")
    request = search_pb2.UpsertItemsRequest(
        collection=collection,
        item=search_pb2.Item(
            id=item.id,
            uri=item.uri,
            metadata=metadata.to_message(item.metadata, f"{where}: metadata"),
        ),
        store_content=item.store,
    )
    if item.content is not None:
        request.content.CopyFrom(contents.to_message(item.content, f"{where}: content"))
    elif item.vector is not None:
        request.vector.CopyFrom(vectors.to_message(item.vector, f"{where}: vector"))
    return request


def delete_items(collection: str, ids: Iterable[str]) -> Iterator[search_pb2.DeleteItemsRequest]:
    if isinstance(ids, str):
        raise TypeError("ids is a sequence of ids, not one str")
    for chunk in _chunks(ids, DELETE_IDS):
        yield search_pb2.DeleteItemsRequest(collection=collection, ids=chunk)


def search(given: Search) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(
        collection=given.collection,
        query=search_pb2.Query(terms=[_term(term) for term in _terms(given.query)]),
        limit=given.limit,
        page_token=given.page_token,
        score_threshold=given.score_threshold,
        filter=given.filter,
        include_content=given.include_content,
        include_vector=given.include_vector,
        rerank=None if given.rerank is None else _rerank(given.rerank),
    )


def batch_search(searches: Iterable[Search]) -> Iterator[search_pb2.BatchSearchRequest]:
    for chunk in _chunks(searches, BATCH_SEARCHES):
        yield search_pb2.BatchSearchRequest(requests=[search(one) for one in chunk])


def _rerank(given: Rerank) -> search_pb2.Rerank:
    return search_pb2.Rerank(
        kind=_RERANK_KINDS[given.kind], model=given.model, candidates=given.candidates
    )


def _terms(query: Query) -> Sequence[Term]:
    if isinstance(query, Term):
        return [query]
    if isinstance(query, list | tuple):
        for position, term in enumerate(query):
            if not isinstance(term, Term):
                raise TypeError(f"query[{position}]: expected a Term, got {type(term).__name__}")
        return query
    return [Term(query)]


def _term(term: Term) -> search_pb2.Term:
    match term.query:
        case ItemRef(id=item_id):
            return search_pb2.Term(item_id=item_id, weight=term.weight)
        case np.ndarray() as array if array.ndim == 1:
            vector = vectors.to_message(array, "query")
            return search_pb2.Term(vector=vector, weight=term.weight)
        case content:
            message = contents.to_message(content, "query")
            return search_pb2.Term(content=message, weight=term.weight)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
