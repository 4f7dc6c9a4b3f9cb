"""Search with `rerank`, through a gateway whose matcher knows colours."""

import io
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from calls import MODEL, Stubs, encoded, png, refusal, text, vector
from google.protobuf.struct_pb2 import Struct
from PIL import Image
from tiny_blip2 import write_matcher

from triptych.v1 import embedding_pb2, media_pb2, model_pb2, search_pb2
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

MATCHER = "tiny-itm"
ITM = search_pb2.Rerank.KIND_ITM
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
PICTURES = 60


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A gateway with the shipped CLIP, and the tiny matcher beside it."""
    folder = tmp_path_factory.mktemp("matching")
    repository = folder / "repository"
    for encoder in SHIPPED_REPOSITORY.glob(f"{MODEL}-*"):
        shutil.copytree(encoder, repository / encoder.name)
    write_matcher(repository, MATCHER)
    flags = ("--repository", repository, "--data", folder / "data")
    options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target, options) as channel,
    ):
        yield Stubs(channel)


@pytest.fixture(scope="module")
def pictures(stubs: Stubs) -> Iterator[str]:
    """A collection of pictures from dark to red: each has more of it than the one before. Tests
    only read it."""
    levels = np.linspace(0, 255, PICTURES).astype(np.uint8)
    drafts = [
        draft(f"p{i}", content=encoded(picture((level, 60, 60))), metadata={"number": i})
        for i, level in enumerate(levels)
    ]
    yield from collection_of(stubs, drafts)


@pytest.fixture
def collection(stubs: Stubs) -> Iterator[str]:
    """An empty collection of its own for each test."""
    yield from collection_of(stubs, [])


def collection_of(stubs: Stubs, drafts: Sequence[search_pb2.UpsertItemsRequest]) -> Iterator[str]:
    name = f"c{uuid.uuid4().hex[:12]}"
    description = search_pb2.Collection(name=name)
    stubs.search.CreateCollection(search_pb2.CreateCollectionRequest(collection=description))
    write(stubs, name, drafts)
    yield name
    stubs.search.DeleteCollection(search_pb2.DeleteCollectionRequest(name=name))


def write(stubs: Stubs, collection: str, drafts: Sequence[search_pb2.UpsertItemsRequest]) -> None:
    for each in drafts:
        each.collection = collection
    answers = list(stubs.search.UpsertItems(iter(drafts)))
    assert all(answer.HasField("upserted") for answer in answers)


def draft(
    key: str, *, metadata: dict[str, Any] | None = None, store_content: bool = True, **fields: Any
) -> search_pb2.UpsertItemsRequest:
    struct = Struct()
    struct.update(metadata or {})
    item = search_pb2.Item(id=key, metadata=struct)
    return search_pb2.UpsertItemsRequest(item=item, store_content=store_content, **fields)


def picture(colour: Sequence[int]) -> bytes:
    return png(np.full((64, 64, 3), colour, np.uint8))


def search(
    collection: str, *contents: media_pb2.Content, **fields: Any
) -> search_pb2.SearchRequest:
    terms = [search_pb2.Term(content=content) for content in contents]
    query = search_pb2.Query(terms=terms)
    return search_pb2.SearchRequest(collection=collection, query=query, **fields)


def reranked(collection: str, **fields: Any) -> search_pb2.SearchRequest:
    """The pictures that are `red`, among so many `candidates`."""
    rerank = search_pb2.Rerank(kind=ITM, candidates=fields.pop("candidates", 0))
    return search(collection, text("red"), rerank=rerank, **fields)


def ids(response: search_pb2.SearchResponse) -> list[str]:
    return [hit.item.id for hit in response.hits]


def number(hit: search_pb2.Hit) -> int:
    return int(hit.item.id[1:])


def test_the_nearest_items_come_in_the_order_of_the_matcher(stubs: Stubs, pictures: str) -> None:
    plain = stubs.search.Search(search(pictures, text("red"), limit=30))
    again = stubs.search.Search(reranked(pictures, limit=30, candidates=30))
    assert {hit.item.id: hit.score for hit in again.hits} == {
        hit.item.id: hit.score for hit in plain.hits
    }
    numbers = [number(hit) for hit in again.hits]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers != [number(hit) for hit in plain.hits]
    scores = [hit.itm_score for hit in again.hits]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] < scores[0] <= 1
    assert not any(hit.HasField("itm_score") for hit in plain.hits)


def test_of_a_long_query_the_beginning_is_compared(stubs: Stubs, pictures: str) -> None:
    request = reranked(pictures, limit=20)
    request.query.terms[0].content.text = "red " + "and " * 1_000
    numbers = [number(hit) for hit in stubs.search.Search(request).hits]
    assert len(numbers) == 20
    assert numbers == sorted(numbers, reverse=True)


def test_of_equal_matches_the_nearer_item_comes_first(stubs: Stubs, collection: str) -> None:
    greys = [draft(f"g{n}", content=encoded(picture([n * 20] * 3))) for n in range(12)]
    write(stubs, collection, greys)
    request = search(collection, text("thing"), limit=12)  # no word that the matcher knows
    plain = ids(stubs.search.Search(request))
    request.rerank.kind = ITM
    hits = stubs.search.Search(request).hits
    assert [hit.item.id for hit in hits] == plain
    assert {hit.itm_score for hit in hits} == {0.5}


def test_twenty_are_compared_unless_asked_otherwise(stubs: Stubs, pictures: str) -> None:
    assert len(stubs.search.Search(reranked(pictures, limit=50)).hits) == 20
    assert len(stubs.search.Search(reranked(pictures, limit=50, candidates=7)).hits) == 7
    everything = stubs.search.Search(reranked(pictures, limit=256, candidates=256)).hits
    assert [number(hit) for hit in everything] == list(reversed(range(PICTURES)))


def test_pages_hold_the_candidates_and_no_more(stubs: Stubs, pictures: str) -> None:
    whole = ids(stubs.search.Search(reranked(pictures, limit=25, candidates=25)))
    request = reranked(pictures, limit=10, candidates=25)
    pages = []
    while True:
        response = stubs.search.Search(request)
        pages.append(ids(response))
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [each for page in pages for each in page] == whole


def test_a_page_token_is_of_its_reranking(stubs: Stubs, pictures: str) -> None:
    token = stubs.search.Search(reranked(pictures, limit=5)).next_page_token
    for other in (
        reranked(pictures, limit=5, candidates=40, page_token=token),
        search(pictures, text("red"), limit=5, page_token=token),
    ):
        refused = refusal(stubs.search.Search, other)
        assert (refused.code, refused.fields) == (INVALID, ["page_token"])


def test_candidates_are_those_that_match_the_filter(stubs: Stubs, pictures: str) -> None:
    hits = stubs.search.Search(reranked(pictures, limit=9, filter="number < 9")).hits
    assert [number(hit) for hit in hits] == list(reversed(range(9)))


def test_candidates_are_those_above_the_threshold(stubs: Stubs, pictures: str) -> None:
    plain = stubs.search.Search(search(pictures, text("red"), limit=20)).hits
    threshold = plain[9].score
    hits = stubs.search.Search(reranked(pictures, limit=20, score_threshold=threshold)).hits
    assert {hit.item.id for hit in hits} == {h.item.id for h in plain if h.score >= threshold}


def test_contents_and_vectors_come_only_when_asked_for(stubs: Stubs, pictures: str) -> None:
    for content, of_vector in ((False, False), (True, False), (False, True)):
        request = reranked(pictures, limit=3, include_content=content, include_vector=of_vector)
        for hit in stubs.search.Search(request).hits:
            assert bool(hit.item.content.image.encoded) == content
            assert bool(hit.item.vector.data) == of_vector


def test_contents_of_a_page_that_do_not_fit_into_an_answer_are_refused(
    stubs: Stubs, collection: str
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1500, 1500)).save(file, "BMP")  # some 7 MB
    content = encoded(file.getvalue())
    write(stubs, collection, [draft(str(n), content=content) for n in range(6)])
    assert len(stubs.search.Search(reranked(collection)).hits) == 6
    refused = refusal(stubs.search.Search, reranked(collection, include_content=True))
    assert (refused.code, refused.reason) == (INVALID, "RESPONSE_TOO_LARGE")
    hits = stubs.search.Search(reranked(collection, include_content=True, limit=3)).hits
    assert [hit.item.content.image.encoded == content.image.encoded for hit in hits] == [True] * 3


@pytest.mark.parametrize(
    "bare",
    [
        draft("bare", content=encoded(picture((9, 9, 9))), store_content=False),
        draft("bare", vector=vector(np.eye(128, dtype=np.float32)[0])),
        draft("bare", content=text("red")),
    ],
    ids=["not-stored", "vector", "text"],
)
def test_an_item_without_a_stored_picture_is_named(
    stubs: Stubs, collection: str, bare: search_pb2.UpsertItemsRequest
) -> None:
    write(stubs, collection, [draft("whole", content=encoded(picture((200, 9, 9)))), bare])
    refused = refusal(stubs.search.Search, reranked(collection))
    assert (refused.code, refused.reason) == (PRECONDITION, "CONTENT_NOT_STORED")
    assert "'bare'" in refused.message
    assert ids(stubs.search.Search(reranked(collection, filter='id = "whole"'))) == ["whole"]


def of_terms(*terms: search_pb2.Term, **rerank: Any) -> search_pb2.SearchRequest:
    query = search_pb2.Query(terms=terms)
    rerank = {"kind": ITM} | rerank
    return search_pb2.SearchRequest(collection="a", query=query, rerank=search_pb2.Rerank(**rerank))


RED = search_pb2.Term(content=text("red"))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (of_terms(RED, kind=search_pb2.Rerank.KIND_UNSPECIFIED), "rerank.kind"),
        (of_terms(RED, kind=7), "rerank.kind"),
        (of_terms(RED, candidates=257), "rerank.candidates"),
        (of_terms(RED, model="a/b"), "rerank.model"),
        (of_terms(RED, RED), "query.terms"),
        (of_terms(search_pb2.Term(content=text("red"), weight=-1)), "query.terms"),
        (of_terms(search_pb2.Term(content=encoded(picture((1, 2, 3))))), "query.terms"),
        (of_terms(search_pb2.Term(item_id="p1")), "query.terms"),
        (of_terms(search_pb2.Term(vector=vector(np.ones(128, np.float32)))), "query.terms"),
    ],
)
def test_a_request_that_cannot_be_reranked_says_why(
    stubs: Stubs, request_: search_pb2.SearchRequest, field: str
) -> None:
    refused = refusal(stubs.search.Search, request_)
    assert (refused.code, refused.fields) == (INVALID, [field])


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("gpt", grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (MODEL, PRECONDITION, "TASK_NOT_SUPPORTED"),
    ],
)
def test_a_model_that_does_not_match_is_refused(
    stubs: Stubs, pictures: str, name: str, code: grpc.StatusCode, reason: str
) -> None:
    request = reranked(pictures)
    request.rerank.model = name
    refused = refusal(stubs.search.Search, request)
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.message
    request.rerank.model = MATCHER
    assert stubs.search.Search(request).hits


def test_searches_of_a_batch_rerank_each_on_its_own(stubs: Stubs, pictures: str) -> None:
    good, bad = reranked(pictures, limit=4), reranked(pictures, candidates=300)
    plain = search(pictures, text("red"), limit=4)
    request = search_pb2.BatchSearchRequest(requests=[good, bad, plain] * 8)
    results = stubs.search.BatchSearch(request).results
    alone = stubs.search.Search(good)
    for position in range(0, len(results), 3):
        first, refused, last = results[position : position + 3]
        assert first.response.hits == alone.hits
        assert refused.error.field == "rerank.candidates"
        assert not last.response.hits[0].HasField("itm_score")


def test_timing_tells_of_the_reranking(stubs: Stubs, pictures: str) -> None:
    timing = stubs.search.Search(reranked(pictures)).timing
    stages = (timing.preprocess, timing.inference, timing.total)
    preprocess, inference, total = (stage.ToNanoseconds() for stage in stages)
    assert preprocess > 0
    assert 0 < inference < total
    assert timing.batch_size >= 1


def test_the_matcher_is_listed_with_its_roles(stubs: Stubs) -> None:
    model = stubs.model.GetModel(model_pb2.GetModelRequest(name=MATCHER)).model
    assert (model.family, model.dimension, model.default) == ("blip_2", 0, True)
    assert not model.HasField("generator")
    assert {(each.role, each.state, each.context_length) for each in model.encoders} == {
        (model_pb2.ROLE_VISION, model_pb2.STATE_READY, 0),
        (model_pb2.ROLE_ITM, model_pb2.STATE_READY, 32),
    }
    assert stubs.model.GetModel(model_pb2.GetModelRequest()).model.name == MODEL


def test_a_matcher_does_not_embed_and_says_what_it_does(stubs: Stubs) -> None:
    request = embedding_pb2.EmbedRequest(model=MATCHER, contents=[text("red")])
    refused = refusal(stubs.embedding.Embed, request)
    assert (refused.code, refused.reason) == (PRECONDITION, "TASK_NOT_SUPPORTED")
    assert refused.fields == ["model"]
    assert "image-text matching" in refused.message
