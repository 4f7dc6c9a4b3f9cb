"""The field rules of search.proto."""

from collections.abc import Iterator
from typing import Any

from triptych.v1 import search_pb2
from triptych_server.errors import Violation
from triptych_server.services import media
from triptych_server.services.rules import (
    all_of,
    between,
    characters,
    count,
    each,
    fields,
    finite,
    first_of,
    json_object,
    matching,
    one_of,
    optional,
    present,
    printable,
)

MAX_METADATA = 64 * 1024
MAX_CANDIDATES = 256

COLLECTION_NAME = matching(
    r"[a-z0-9][a-z0-9_-]{0,62}",
    "a collection's name: 1 to 63 lower-case letters, digits, `-` and `_`, "
    "beginning with a letter or a digit",
)
ITEM_ID = all_of(characters(1, 512), printable)
PAGE_SIZE = between(0, 1_000)
FILTER = characters(0, 4_096)


def _threshold(value: int, path: str) -> Iterator[Violation]:
    if value and not 1_000 <= value <= 100_000_000:
        yield Violation(path, f"must be 1,000 to 100,000,000, or 0 for the default, is {value:,}")


def _index_kind(value: int, path: str) -> Iterator[Violation]:
    if not 0 <= value <= 3:
        yield Violation(path, f"must be AUTO, FLAT or HNSW, is {value}")


def _metadata_size(value: Any, path: str) -> Iterator[Violation]:
    if value.ByteSize() > MAX_METADATA:
        yield Violation(path, f"must have at most {MAX_METADATA:,} bytes, has {value.ByteSize():,}")


def _weight(term: Any, path: str) -> Iterator[Violation]:
    if term.HasField("weight"):
        yield from finite(term.weight, f"{path}.weight")
        if term.weight == 0:
            yield Violation(f"{path}.weight", "must not be zero")


def _rerank_kind(value: int, path: str) -> Iterator[Violation]:
    if value != search_pb2.Rerank.KIND_ITM:
        yield Violation(path, f"must be ITM, is {value}")


def _reranked_terms(request: Any, path: str) -> Iterator[Violation]:
    if not request.HasField("rerank"):
        return
    terms = request.query.terms
    weight = terms[0].weight if terms and terms[0].HasField("weight") else 1.0
    if len(terms) != 1 or terms[0].content.WhichOneof("kind") != "text" or not weight > 0:
        yield Violation("query.terms", "must be one text of positive weight, to be reranked")


CREATE_COLLECTION = fields(
    collection=fields(
        name=COLLECTION_NAME,
        model=media.MODEL_NAME,
        index=fields(kind=_index_kind, threshold=_threshold),
    )
)
NAMED = fields(name=COLLECTION_NAME)
LIST_COLLECTIONS = fields(page_size=PAGE_SIZE)
OF_COLLECTION = fields(collection=COLLECTION_NAME)
UPSERT_ITEM = all_of(
    present("item"),
    fields(
        item=fields(
            id=ITEM_ID,
            metadata=first_of(_metadata_size, json_object),
            uri=all_of(characters(0, 2_048), printable),
        )
    ),
    one_of("source", content=media.CONTENT, vector=media.VECTOR),
)
GET_ITEM = fields(collection=COLLECTION_NAME, id=ITEM_ID)
LIST_ITEMS = fields(collection=COLLECTION_NAME, page_size=PAGE_SIZE, filter=FILTER)
DELETE_ITEMS = fields(collection=COLLECTION_NAME, ids=all_of(count(1, 1_000), each(ITEM_ID)))
TERM = all_of(one_of("kind", content=media.CONTENT, vector=media.VECTOR, item_id=ITEM_ID), _weight)
SEARCH = all_of(
    present("query"),
    fields(
        collection=COLLECTION_NAME,
        query=fields(terms=all_of(count(1, 16), each(TERM))),
        limit=between(0, 1_000),
        score_threshold=finite,
        filter=FILTER,
    ),
    optional(
        rerank=fields(
            kind=_rerank_kind, model=media.MODEL_NAME, candidates=between(0, MAX_CANDIDATES)
        )
    ),
    _reranked_terms,
)
BATCH_SEARCH = fields(requests=count(1, 64))
