"""SearchService, through a real gateway."""

import math
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from calls import Stubs, array, encoded, png, raw, refusal, text, vector
from google.protobuf.struct_pb2 import Struct
from scenes import Scenes

from triptych.v1 import media_pb2, model_pb2, search_pb2

Code = grpc.StatusCode
INVALID = Code.INVALID_ARGUMENT
DIMENSION = 128


@pytest.fixture
def collection(stubs: Stubs) -> Iterator[str]:
    """A collection of its own for each test."""
    name = f"c{uuid.uuid4().hex[:12]}"
    stubs.search.CreateCollection(create(name))
    yield name
    stubs.search.DeleteCollection(search_pb2.DeleteCollectionRequest(name=name))


@pytest.fixture(scope="module")
def pictures(stubs: Stubs, scenes: Scenes) -> Iterator[str]:
    """A collection of the drawn pictures, with their captions as metadata. Tests only read it."""
    name = f"pictures-{uuid.uuid4().hex[:12]}"
    stubs.search.CreateCollection(create(name))
    items = [
        item(
            f"p{i}",
            content=encoded(png(pixels)),
            store_content=True,
            metadata={"caption": scenes.english[i], "number": i, "even": i % 2 == 0},
        )
        for i, pixels in enumerate(scenes.pixels)
    ]
    assert all(each.HasField("upserted") for each in upsert(stubs, name, items))
    yield name
    stubs.search.DeleteCollection(search_pb2.DeleteCollectionRequest(name=name))


def create(name: str, **fields: Any) -> search_pb2.CreateCollectionRequest:
    return search_pb2.CreateCollectionRequest(collection=search_pb2.Collection(name=name, **fields))


def item(
    key: str, metadata: dict[str, Any] | None = None, uri: str = "", **fields: Any
) -> search_pb2.UpsertItemsRequest:
    struct = Struct()
    struct.update(metadata or {})
    return search_pb2.UpsertItemsRequest(
        item=search_pb2.Item(id=key, metadata=struct, uri=uri), **fields
    )


def upsert(
    stubs: Stubs, collection: str, requests: Iterable[search_pb2.UpsertItemsRequest]
) -> list[search_pb2.UpsertItemsResponse]:
    def named() -> Iterator[search_pb2.UpsertItemsRequest]:
        for position, request in enumerate(requests):
            if position == 0:
                request.collection = collection
            yield request

    return list(stubs.search.UpsertItems(named()))


def search(collection: str, *terms: search_pb2.Term, **fields: Any) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(
        collection=collection, query=search_pb2.Query(terms=terms), **fields
    )


def term(content: media_pb2.Content, **fields: Any) -> search_pb2.Term:
    return search_pb2.Term(content=content, **fields)


def ids(response: search_pb2.SearchResponse) -> list[str]:
    return [hit.item.id for hit in response.hits]


def basis(axis: int) -> np.ndarray:
    return np.eye(DIMENSION, dtype=np.float32)[axis]


def test_collection_lives_from_create_to_delete(stubs: Stubs) -> None:
    name = f"life-{uuid.uuid4().hex[:8]}"
    made = stubs.search.CreateCollection(create(name)).collection
    assert (made.name, made.dimension, made.item_count) == (name, DIMENSION, 0)
    assert made.space == stubs.model.GetModel(model_pb2.GetModelRequest()).model.space
    got = stubs.search.GetCollection(search_pb2.GetCollectionRequest(name=name)).collection
    assert got == made
    listed = stubs.search.ListCollections(search_pb2.ListCollectionsRequest()).collections
    assert name in [each.name for each in listed]
    refused = refusal(stubs.search.CreateCollection, create(name))
    assert refused.code == Code.ALREADY_EXISTS
    stubs.search.DeleteCollection(search_pb2.DeleteCollectionRequest(name=name))
    for method, request in (
        (stubs.search.GetCollection, search_pb2.GetCollectionRequest(name=name)),
        (stubs.search.DeleteCollection, search_pb2.DeleteCollectionRequest(name=name)),
        (stubs.search.Search, search(name, term(text("x")))),
    ):
        assert refusal(method, request).code == Code.NOT_FOUND


def test_collections_are_listed_in_pages(stubs: Stubs) -> None:
    names = sorted(f"page-{uuid.uuid4().hex[:8]}" for _ in range(5))
    for name in names:
        stubs.search.CreateCollection(create(name))
    found, token = [], ""
    while True:
        request = search_pb2.ListCollectionsRequest(page_size=2, page_token=token)
        page = stubs.search.ListCollections(request)
        assert len(page.collections) <= 2
        found += [each.name for each in page.collections]
        if not (token := page.next_page_token):
            break
    assert [name for name in found if name in names] == names
    for name in names:
        stubs.search.DeleteCollection(search_pb2.DeleteCollectionRequest(name=name))


def test_collection_name_with_a_slash_is_refused(stubs: Stubs) -> None:
    refused = refusal(stubs.search.CreateCollection, create("a/b"))
    assert (refused.code, refused.fields) == (INVALID, ["collection.name"])


def test_collection_of_an_unknown_model_is_refused(stubs: Stubs) -> None:
    refused = refusal(stubs.search.CreateCollection, create("fine", model="gpt"))
    assert (refused.code, refused.fields) == (Code.NOT_FOUND, ["collection.model"])


def test_text_in_both_languages_finds_its_picture(
    stubs: Stubs, pictures: str, scenes: Scenes
) -> None:
    for captions in (scenes.english, scenes.chinese):
        found = [
            f"p{i}" in ids(stubs.search.Search(search(pictures, term(text(caption)), limit=3)))
            for i, caption in enumerate(captions)
        ]
        assert np.mean(found) > 0.9


def test_picture_finds_itself(stubs: Stubs, pictures: str, scenes: Scenes) -> None:
    hits = stubs.search.Search(search(pictures, term(raw(scenes.pixels[9])))).hits
    assert len(hits) == 10
    assert hits[0].item.id == "p9"
    assert hits[0].score == pytest.approx(1, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_item_finds_others_like_it_and_not_itself(
    stubs: Stubs, pictures: str, scenes: Scenes
) -> None:
    by_item = stubs.search.Search(search(pictures, search_pb2.Term(item_id="p9"), limit=5))
    by_picture = stubs.search.Search(search(pictures, term(raw(scenes.pixels[9])), limit=6))
    assert ids(by_item) == ids(by_picture)[1:]


def test_mixed_query_is_the_weighted_sum(stubs: Stubs, collection: str) -> None:
    upsert(stubs, collection, [item(f"e{i}", vector=vector(basis(i))) for i in range(4)])
    terms = [
        search_pb2.Term(vector=vector(5 * basis(0)), weight=1),
        search_pb2.Term(vector=vector(basis(1)), weight=2),
        search_pb2.Term(item_id="e2", weight=-2),
    ]
    hits = stubs.search.Search(search(collection, *terms)).hits
    scores = {hit.item.id: hit.score for hit in hits}
    assert scores == pytest.approx({"e1": 2 / 3, "e0": 1 / 3, "e3": 0}, abs=1e-6)


def test_terms_that_cancel_out_are_refused(stubs: Stubs, collection: str) -> None:
    terms = [search_pb2.Term(vector=vector(basis(0)), weight=weight) for weight in (1, -1)]
    assert refusal(stubs.search.Search, search(collection, *terms)).fields == ["query.terms"]


def test_unknown_item_in_a_query_is_not_found(stubs: Stubs, collection: str) -> None:
    refused = refusal(stubs.search.Search, search(collection, search_pb2.Term(item_id="gone")))
    assert (refused.code, refused.fields) == (Code.NOT_FOUND, ["query.terms[0].item_id"])


def test_filter_is_applied_inside_the_search(stubs: Stubs, pictures: str, scenes: Scenes) -> None:
    query = term(text(scenes.english[0]))
    response = stubs.search.Search(
        search(pictures, query, filter="even = true AND number >= 40", limit=100)
    )
    assert sorted(ids(response)) == sorted(f"p{i}" for i in range(40, 64, 2))


def test_filter_that_does_not_parse_points_at_the_character(stubs: Stubs, pictures: str) -> None:
    refused = refusal(stubs.search.Search, search(pictures, term(text("x")), filter="number = )"))
    assert (refused.code, refused.reason, refused.fields) == (INVALID, "FILTER_SYNTAX", ["filter"])
    assert "9" in refused.message


def test_threshold_leaves_out_what_scores_below(stubs: Stubs, pictures: str) -> None:
    query = term(text("a large red circle"))
    everything = stubs.search.Search(search(pictures, query, limit=100)).hits
    middle = everything[30].score
    above = stubs.search.Search(search(pictures, query, limit=100, score_threshold=middle)).hits
    assert len(everything) == 64
    assert [hit.item.id for hit in above] == [hit.item.id for hit in everything[:31]]


def test_pages_of_a_search_add_up(stubs: Stubs, pictures: str) -> None:
    query = term(text("a large red circle"))
    everything = ids(stubs.search.Search(search(pictures, query, limit=100)))
    found: list[str] = []
    token = ""
    while True:
        page = stubs.search.Search(search(pictures, query, limit=7, page_token=token))
        found += ids(page)
        if not (token := page.next_page_token):
            break
    assert found == everything


def test_page_token_of_another_query_is_refused(stubs: Stubs, pictures: str) -> None:
    token = stubs.search.Search(search(pictures, term(text("red")), limit=2)).next_page_token
    refused = refusal(
        stubs.search.Search, search(pictures, term(text("blue")), limit=2, page_token=token)
    )
    assert (refused.code, refused.fields) == (INVALID, ["page_token"])


def test_batch_search_fails_each_on_its_own(stubs: Stubs, pictures: str, scenes: Scenes) -> None:
    requests = [search(pictures, term(raw(pixels)), limit=1) for pixels in scenes.pixels]
    requests[3] = search(pictures, term(encoded(b"broken")))
    requests[5] = search("nowhere", term(text("x")))
    results = stubs.search.BatchSearch(search_pb2.BatchSearchRequest(requests=requests)).results
    assert [i for i, each in enumerate(results) if each.HasField("error")] == [3, 5]
    assert results[3].error.field == "query.terms[0].content.image.encoded"
    assert results[5].error.code == Code.NOT_FOUND.value[0]
    found = {i: ids(each.response) for i, each in enumerate(results) if each.HasField("response")}
    assert found == {i: [f"p{i}"] for i in range(64) if i not in (3, 5)}


def test_stored_content_and_vector_come_back(stubs: Stubs, pictures: str, scenes: Scenes) -> None:
    got = stubs.search.GetItem(
        search_pb2.GetItemRequest(
            collection=pictures, id="p4", include_content=True, include_vector=True
        )
    ).item
    assert got.content.image.encoded == png(scenes.pixels[4])
    assert dict(got.metadata.items()) == {
        "caption": scenes.english[4],
        "number": 4,
        "even": True,
    }
    plain = stubs.search.GetItem(search_pb2.GetItemRequest(collection=pictures, id="p4")).item
    assert plain.has_content
    assert not plain.HasField("content")
    hit = stubs.search.Search(
        search(pictures, search_pb2.Term(vector=got.vector), limit=1, include_vector=True)
    ).hits[0]
    assert hit.item.id == "p4"
    assert array(hit.item.vector) == pytest.approx(array(got.vector))


def test_one_corrupt_picture_of_64_fails_alone(
    stubs: Stubs, collection: str, scenes: Scenes
) -> None:
    requests = [item(f"p{i}", content=raw(pixels)) for i, pixels in enumerate(scenes.pixels)]
    requests[20] = item("p20", content=encoded(png(scenes.pixels[20])[:80]))
    answers = upsert(stubs, collection, requests)
    assert [each.id for each in answers] == [f"p{i}" for i in range(64)]
    assert [each.id for each in answers if each.HasField("error")] == ["p20"]
    assert answers[20].error.field == "content.image.encoded"
    count = stubs.search.GetCollection(search_pb2.GetCollectionRequest(name=collection))
    assert count.collection.item_count == 63


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (vector(np.full(DIMENSION, math.nan, np.float32)), "vector.data"),
        (vector(np.zeros(DIMENSION, np.float32)), "vector"),
        (vector(np.ones(DIMENSION + 1, np.float32)), "vector.dimension"),
        (media_pb2.Vector(data=b"abc", dimension=DIMENSION), "vector.data"),
    ],
)
def test_bad_vector_is_named(
    stubs: Stubs, collection: str, bad: media_pb2.Vector, field: str
) -> None:
    first, second = upsert(
        stubs, collection, [item("bad", vector=bad), item("good", vector=vector(basis(0)))]
    )
    assert (first.error.code, first.error.field) == (INVALID.value[0], field)
    assert second.upserted.created
    fields = refusal(stubs.search.Search, search(collection, search_pb2.Term(vector=bad))).fields
    assert fields == [f"query.terms[0].{field}"]


def test_of_two_items_with_one_id_in_a_stream_the_later_stays(
    stubs: Stubs, collection: str
) -> None:
    first, second = upsert(
        stubs,
        collection,
        [
            item("a", {"n": 1}, vector=vector(basis(0))),
            item("a", {"n": 2}, vector=vector(basis(1))),
        ],
    )
    assert first.upserted.created
    assert second.HasField("upserted")
    assert not second.upserted.created
    hits = stubs.search.Search(search(collection, search_pb2.Term(vector=vector(basis(0))))).hits
    assert [(hit.item.id, hit.item.metadata["n"]) for hit in hits] == [("a", 2)]
    assert hits[0].score == pytest.approx(0, abs=1e-6)


def test_upsert_is_visible_to_the_next_search(stubs: Stubs, collection: str) -> None:
    for i in range(20):
        [answer] = upsert(stubs, collection, [item(f"e{i}", vector=vector(basis(i)))])
        assert answer.upserted.created
        query = search(collection, search_pb2.Term(vector=vector(basis(i))), limit=1)
        assert ids(stubs.search.Search(query)) == [f"e{i}"]


def test_stream_to_an_unknown_collection_is_refused(stubs: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        upsert(stubs, "nowhere", [item("a", vector=vector(basis(0)))])
    assert caught.value.code() == Code.NOT_FOUND


def test_stream_writes_to_one_collection(stubs: Stubs, collection: str) -> None:
    stranger = item("b", vector=vector(basis(1)), collection="other")
    first, second = upsert(stubs, collection, [item("a", vector=vector(basis(0))), stranger])
    assert first.upserted.created
    assert second.error.field == "collection"


def test_items_are_listed_in_pages_and_deleted_each_with_a_result(
    stubs: Stubs, collection: str
) -> None:
    upsert(stubs, collection, [item(f"i{n}", {"n": n}, vector=vector(basis(n))) for n in range(7)])
    found, token = [], ""
    while True:
        page = stubs.search.ListItems(
            search_pb2.ListItemsRequest(
                collection=collection, page_size=2, page_token=token, filter="n != 3"
            )
        )
        found += [each.id for each in page.items]
        if not (token := page.next_page_token):
            break
    assert found == ["i0", "i1", "i2", "i4", "i5", "i6"]
    request = search_pb2.DeleteItemsRequest(collection=collection, ids=["i0", "nothing", "i6"])
    results = stubs.search.DeleteItems(request).results
    assert [(each.id, each.error.code) for each in results] == [
        ("i0", 0),
        ("nothing", Code.NOT_FOUND.value[0]),
        ("i6", 0),
    ]
    hits = stubs.search.Search(search(collection, search_pb2.Term(vector=vector(basis(0)))))
    assert sorted(ids(hits)) == ["i1", "i2", "i3", "i4", "i5"]


def test_metadata_comes_back_as_it_was_sent(stubs: Stubs, collection: str) -> None:
    sent = {"s": "é\"'\\", "n": 1.5, "b": False, "none": None, "list": [1, {"x": []}], "o": {"": 2}}
    upsert(stubs, collection, [item("a", sent, uri="s3://x/y", vector=vector(basis(0)))])
    got = stubs.search.GetItem(search_pb2.GetItemRequest(collection=collection, id="a")).item
    expected = Struct()
    expected.update(sent)
    assert got.metadata == expected
    assert got.uri == "s3://x/y"


def test_truncated_text_says_so(stubs: Stubs, collection: str) -> None:
    long = "red circle " * 500
    [answer] = upsert(stubs, collection, [item("a", content=text(long), store_content=True)])
    assert answer.upserted.truncated
    got = stubs.search.GetItem(
        search_pb2.GetItemRequest(collection=collection, id="a", include_content=True)
    ).item
    assert got.content.text == long


def test_huge_vectors_and_weights_keep_their_direction(stubs: Stubs, collection: str) -> None:
    huge = np.full(DIMENSION, 1e38, np.float32)
    upsert(
        stubs, collection, [item("huge", vector=vector(huge)), item("e0", vector=vector(basis(0)))]
    )
    got = stubs.search.GetItem(
        search_pb2.GetItemRequest(collection=collection, id="huge", include_vector=True)
    ).item
    assert np.linalg.norm(array(got.vector)) == pytest.approx(1, abs=1e-5)
    for weight in (3.4e38, 1e-42):
        terms = [search_pb2.Term(vector=vector(basis(0)), weight=weight)] * 16
        hits = stubs.search.Search(search(collection, *terms)).hits
        assert [(hit.item.id, round(hit.score, 4)) for hit in hits] == [
            ("e0", 1.0),
            ("huge", round(DIMENSION**-0.5, 4)),
        ]


def test_contents_that_do_not_fit_into_an_answer_are_refused(stubs: Stubs, collection: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    picture = encoded(png(noise))  # some 7 MB
    requests = [item(str(i), content=picture, store_content=True) for i in range(6)]
    assert all(each.HasField("upserted") for each in upsert(stubs, collection, requests))
    query = search(collection, term(text("x")), include_content=True)
    refused = refusal(stubs.search.Search, query)
    assert (refused.code, refused.reason, refused.fields) == (
        INVALID,
        "RESPONSE_TOO_LARGE",
        ["limit"],
    )
    query.limit = 3
    assert len(stubs.search.Search(query).hits) == 3
    batch = stubs.search.BatchSearch(search_pb2.BatchSearchRequest(requests=[query] * 4)).results
    assert [each.error.reason for each in batch] == ["", ""] + ["RESPONSE_TOO_LARGE"] * 2
