"""The parts that field rules are composed of, on real messages."""

import base64
import json
import math

import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from triptych.v1 import embedding_pb2, media_pb2, search_pb2
from triptych_server.errors import InvalidArgument
from triptych_server.services import media, page_tokens
from triptych_server.services.embedding import RANK
from triptych_server.services.rules import check
from triptych_server.services.search_rules import CREATE_COLLECTION, SEARCH, UPSERT_ITEM


def violated(rule: object, message: object) -> list[str]:
    try:
        check(rule, message)
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


def text(value: str) -> media_pb2.Content:
    return media_pb2.Content(text=value)


def raw(height: int, width: int, size: int) -> media_pb2.Content:
    image = media_pb2.RawImage(height=height, width=width, data=bytes(size))
    return media_pb2.Content(image=media_pb2.Image(raw=image))


def vector(values: list[float]) -> media_pb2.Vector:
    return media_pb2.Vector(data=np.array(values, "<f4").tobytes(), dimension=len(values))


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (media_pb2.Content(), ["kind"]),
        (text(""), ["text"]),
        (text(" \n\t"), ["text"]),
        (text("x" * 1_000_001), ["text"]),
        (text("x" * 1_000_000), []),
        (media_pb2.Content(image=media_pb2.Image()), ["image"]),
        (media_pb2.Content(image=media_pb2.Image(encoded=b"")), ["image.encoded"]),
        (raw(2, 3, 18), []),
        (raw(2, 3, 17), ["image.raw.data"]),
        (raw(0, 0, 0), ["image.raw.height", "image.raw.width"]),
        (raw(16_385, 1, 0), ["image.raw.height"]),
    ],
)
def test_content(content: media_pb2.Content, fields: list[str]) -> None:
    assert violated(media.CONTENT, content) == fields


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (vector([1, 2]), []),
        (media_pb2.Vector(), ["dimension"]),
        (media_pb2.Vector(data=b"123", dimension=1), ["data"]),
        (vector([1, math.nan]), ["data"]),
        (vector([1, math.inf]), ["data"]),
    ],
)
def test_vector(message: media_pb2.Vector, fields: list[str]) -> None:
    assert [field.strip(".") for field in violated(media.VECTOR, message)] == fields


@pytest.mark.parametrize("name", ["a", "a-b_c9", "9", "x" * 63])
def test_collection_name_is_taken(name: str) -> None:
    request = search_pb2.CreateCollectionRequest(collection=search_pb2.Collection(name=name))
    assert violated(CREATE_COLLECTION, request) == []


@pytest.mark.parametrize("name", ["", "a/b", "../a", "A", "-a", "a b", "x" * 64, "a\n", "é"])
def test_collection_name_is_refused(name: str) -> None:
    request = search_pb2.CreateCollectionRequest(collection=search_pb2.Collection(name=name))
    assert violated(CREATE_COLLECTION, request) == ["collection.name"]


def test_every_violation_of_a_search_is_told() -> None:
    request = search_pb2.SearchRequest(
        collection="a/b",
        query=search_pb2.Query(
            terms=[
                search_pb2.Term(content=text("fine")),
                search_pb2.Term(content=text(""), weight=0),
                search_pb2.Term(item_id="x", weight=math.nan),
                search_pb2.Term(),
            ]
        ),
        limit=1001,
        score_threshold=math.inf,
    )
    assert violated(SEARCH, request) == [
        "collection",
        "query.terms[1].content.text",
        "query.terms[1].weight",
        "query.terms[2].weight",
        "query.terms[3]",
        "limit",
        "score_threshold",
    ]


def test_search_needs_a_query() -> None:
    request = search_pb2.SearchRequest(collection="a")
    assert violated(SEARCH, request) == ["query", "query.terms"]


def test_metadata_must_be_storable() -> None:
    metadata = Struct()
    metadata.update({"fine": [1, {"deep": "x"}], "gone": None})
    metadata.fields["bad"].number_value = math.nan
    metadata.fields["nul"].string_value = "a\0b"
    metadata.fields["list"].list_value.values.append(Value())
    request = search_pb2.UpsertItemsRequest(
        item=search_pb2.Item(id="a", metadata=metadata), content=text("x")
    )
    assert sorted(violated(UPSERT_ITEM, request)) == [
        "item.metadata.bad",
        "item.metadata.list[0]",
        "item.metadata.nul",
    ]


def test_metadata_is_bounded() -> None:
    metadata = Struct()
    metadata.update({"key": "x" * 70_000})
    item = search_pb2.Item(id="a", metadata=metadata)
    request = search_pb2.UpsertItemsRequest(item=item, content=text("x"))
    assert violated(UPSERT_ITEM, request) == ["item.metadata"]


@pytest.mark.parametrize(("levels", "fields"), [(30, 0), (31, 1)])
def test_metadata_is_as_deep_as_every_response_can_carry(levels: int, fields: int) -> None:
    value: dict[str, object] = {"x": 1}
    for _ in range(levels - 1):
        value = {"x": value}
    metadata = Struct()
    metadata.update(value)
    item = search_pb2.Item(id="a", metadata=metadata)
    request = search_pb2.UpsertItemsRequest(item=item, content=text("x"))
    assert len(violated(UPSERT_ITEM, request)) == fields
    hit = search_pb2.Hit(item=item)
    result = search_pb2.BatchSearchResult(response=search_pb2.SearchResponse(hits=[hit]))
    batch = search_pb2.BatchSearchResponse(results=[result])
    if not fields:
        assert search_pb2.BatchSearchResponse.FromString(batch.SerializeToString()) == batch


@pytest.mark.parametrize("item_id", ["", "x" * 513, "a\0b", "a\nb"])
def test_item_id_is_refused(item_id: str) -> None:
    request = search_pb2.UpsertItemsRequest(item=search_pb2.Item(id=item_id), content=text("x"))
    assert violated(UPSERT_ITEM, request) == ["item.id"]


@pytest.mark.parametrize("template", ["", "no place", "{} and {}", "{0}", "{{}}", "{"])
def test_template_needs_exactly_one_place(template: str) -> None:
    request = embedding_pb2.RankRequest(
        query=text("x"), candidates=[text("y")], templates=["a {} b", template]
    )
    assert set(violated(RANK, request)) == {"templates[1]"}


def test_candidates_times_templates_is_bounded() -> None:
    request = embedding_pb2.RankRequest(
        query=text("x"), candidates=[text("y")] * 256, templates=["{}"] * 5
    )
    assert violated(RANK, request) == ["templates"]


@given(st.integers(0, 2**53) | st.text(max_size=80))
def test_page_token_round_trips(cursor: int | str) -> None:
    request = search_pb2.SearchRequest(collection="a", limit=3)
    request.page_token = page_tokens.encode(request, cursor)
    request.limit = 5
    assert page_tokens.decode(request, type(cursor)) == cursor


@pytest.mark.parametrize("cursor", [-1, 4, 10_000, 2**70])
def test_page_token_with_another_cursor_is_refused(cursor: int) -> None:
    request = search_pb2.SearchRequest(collection="a")
    token = base64.urlsafe_b64decode(page_tokens.encode(request, 3))
    forged = json.dumps([cursor, json.loads(token)[1]]).encode()
    request.page_token = base64.urlsafe_b64encode(forged).decode()
    with pytest.raises(InvalidArgument):
        page_tokens.decode(request, int)


def test_page_token_of_another_request_is_refused() -> None:
    request = search_pb2.SearchRequest(collection="a")
    other = search_pb2.SearchRequest(collection="b", page_token=page_tokens.encode(request, 3))
    with pytest.raises(InvalidArgument) as caught:
        page_tokens.decode(other, int)
    assert caught.value.field == "page_token"


@given(st.text(max_size=60))
def test_invented_page_token_is_refused(token: str) -> None:
    request = search_pb2.SearchRequest(collection="a", page_token=token)
    if token:
        with pytest.raises(InvalidArgument):
            page_tokens.decode(request, int)
