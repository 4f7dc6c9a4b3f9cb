"""The blocking client against a real gateway."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych import (
    Client,
    Hits,
    Index,
    IndexKind,
    Item,
    ItemRef,
    Search,
    Term,
    TriptychError,
    Upserted,
    errors,
)


@pytest.fixture(scope="module")
def client(gateway: str) -> Iterator[Client]:
    with Client(gateway) as client:
        client.wait_ready(10)
        yield client


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """A name for a collection, which is deleted if the test made it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    if name in [collection.name for collection in client.collections.list()]:
        client.collections.delete(name)


@pytest.fixture(scope="module")
def circles(client: Client, pictures: Path) -> Iterator[str]:
    """A collection of the pictures, each with its colour as id."""
    name = f"circles-{uuid.uuid4().hex[:12]}"
    client.collections.create(name)
    items = (
        Item(path.stem, content=path, metadata={"letters": len(path.stem)}, store=True)
        for path in sorted((pictures / "circles").iterdir())
    )
    assert all(answer.created for answer in client.upsert(name, items))
    yield name
    client.collections.delete(name)


def test_one_content_gives_one_vector_of_unit_length(client: Client) -> None:
    result = client.embed("a red circle")
    assert result.vectors.shape == (1, client.models.get().dimension)
    assert result.vectors.dtype == np.float32
    assert np.linalg.norm(result.vectors[0]) == pytest.approx(1, abs=1e-5)
    assert result.model == client.models.get().name
    assert result.timing.total > 0
    assert result.timing.batch_size >= 1


def test_a_picture_is_the_same_however_it_is_given(client: Client, pictures: Path) -> None:
    path = pictures / "circles" / "red.png"
    opened = Image.open(path)
    given = [path, path.read_bytes(), opened, np.asarray(opened), opened.copy()]
    vectors = client.embed(given).vectors
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], 5, axis=0), atol=1e-5)


def test_a_turned_file_is_the_same_by_path_and_opened(client: Client, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "turned.png"
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:20, :20] = (220, 40, 40)
    Image.fromarray(pixels).save(path, exif=exif)
    by_path, opened, upright = client.embed([path, Image.open(path), pixels]).vectors
    np.testing.assert_allclose(by_path, opened, atol=1e-5)
    assert by_path @ upright < 0.999


def test_an_array_of_pictures_is_several_contents(client: Client) -> None:
    assert len(client.embed(np.zeros((3, 64, 64, 3), np.uint8))) == 3


def test_more_contents_than_a_call_takes_are_embedded_in_order(client: Client) -> None:
    texts = [f"a circle number {number}" for number in range(300)]
    result = client.embed(texts)
    assert result.vectors.shape[0] == 300
    for position in (0, 255, 256, 299):
        alone = client.embed(texts[position]).vectors[0]
        np.testing.assert_allclose(result.vectors[position], alone, atol=1e-5)


def test_one_bad_content_fails_alone(client: Client) -> None:
    result = client.embed(["a", b"no picture", "b"])
    assert [embedding.error is None for embedding in result] == [True, False, True]
    error = result[1].error
    assert isinstance(error, errors.InvalidArgumentError)
    assert (error.reason, error.field) == ("IMAGE_UNREADABLE", "image.encoded")
    with pytest.raises(errors.InvalidArgumentError) as caught:
        _ = result.vectors
    assert caught.value.field == "contents[1].image.encoded"


def test_nothing_is_sent_when_one_content_cannot_be(client: Client) -> None:
    with pytest.raises(TypeError, match=r"contents\[1\]"):
        client.embed(["a", 7])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="nothing is given"):
        client.embed([])


def test_long_text_is_cut_and_says_so(client: Client) -> None:
    short, long = client.embed(["red", "red circle " * 500])
    assert (short.truncated, long.truncated) == (False, True)


def test_a_stream_answers_every_content_by_its_id(client: Client) -> None:
    texts = {str(number): f"a circle number {number}" for number in range(50)}
    answers = {a.id: a for a in client.stream_embed([*texts.items(), ("bad", b"no picture")])}
    bad = answers.pop("bad")
    assert bad.vector is None
    assert bad.error is not None
    assert bad.error.reason == "IMAGE_UNREADABLE"
    expected = client.embed(texts.values()).vectors
    received = np.stack([answers[key].vector for key in texts])
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_ranking_puts_the_right_label_first(client: Client, pictures: Path) -> None:
    path = pictures / "circles" / "blue.png"
    labels = ["red circle", "blue circle", "green circle"]
    template = "a large {} in the middle center on a white background"
    ranking = client.rank(path, labels, templates=[template])
    assert labels[ranking[0].index] == "blue circle"
    assert sum(ranked.probability for ranked in ranking) == pytest.approx(1, abs=1e-4)
    assert [r.index for r in client.rank(path, labels, templates=[template], limit=1)] == [1]
    with pytest.raises(TypeError, match="not one str"):
        client.rank(path, "red circle")


@pytest.mark.parametrize("include_vector", [False, True])
def test_search_takes_text_picture_vector_item_and_mixes(
    client: Client, circles: str, pictures: Path, include_vector: bool
) -> None:
    def best(query: object) -> str:
        hits = client.search(circles, query, limit=3, include_vector=include_vector)  # type: ignore[arg-type]
        assert len(hits) == 3
        assert all((hit.item.vector is not None) is include_vector for hit in hits)
        return hits[0].item.id

    text = "a large green circle in the middle center on a white background"
    picture = pictures / "circles" / "red.png"
    assert best(text) == "green"
    assert best(picture) == "red"
    assert best(client.embed(picture).vectors[0]) == "red"
    assert best(ItemRef("red")) != "red"
    assert best(Term(picture)) == "red"
    assert best([Term(picture, 0.01), Term(text, 1)]) == "green"
    assert best((Term(picture, -1), Term(ItemRef("blue"), 1.0))) not in ("red", "blue")


def test_filter_threshold_and_pages_narrow_the_hits(client: Client, circles: str) -> None:
    short = client.search(circles, "a red circle", filter="letters <= 4")
    assert {hit.item.id for hit in short} == {"red", "blue", "pink", "cyan"}
    assert len(client.search(circles, "a red circle", score_threshold=1.0)) == 0
    first = client.search(circles, "a red circle", limit=5)
    rest = client.search(circles, "a red circle", limit=5, page_token=first.next_page_token)
    assert (len(first), len(rest), rest.next_page_token) == (5, 3, "")
    scores = [hit.score for hit in (*first, *rest)]
    assert scores == sorted(scores, reverse=True)


def test_each_search_of_a_batch_fails_alone(client: Client, circles: str) -> None:
    searches = [Search(circles, "a red circle", limit=1), Search("missing", "a red circle")]
    answers = client.batch_search(searches * 40)
    assert len(answers) == 80
    assert all(isinstance(answer, Hits) and len(answer) == 1 for answer in answers[::2])
    assert all(isinstance(answer, errors.NotFoundError) for answer in answers[1::2])


def test_a_query_that_is_no_query_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match=r"query\[1\]: expected a Term"):
        client.search("any", [Term("a"), "b"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="query: pixels are"):
        client.search("any", np.zeros((4, 4), np.uint8))


def test_collections_live_from_creation_to_deletion(client: Client, name: str) -> None:
    created = client.collections.create(name, index=Index(IndexKind.AUTO, threshold=2_000))
    assert created == client.collections.get(name)
    assert (created.name, created.item_count) == (name, 0)
    assert created.index == Index(IndexKind.AUTO, threshold=2_000)
    assert created in list(client.collections.list())
    with pytest.raises(errors.AlreadyExistsError):
        client.collections.create(name)
    client.collections.delete(name)
    with pytest.raises(errors.NotFoundError):
        client.collections.get(name)


def test_a_bad_name_names_its_field(client: Client) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        client.collections.create("a/b")
    assert caught.value.field == "collection.name"


def test_items_come_back_as_they_were_written(client: Client, name: str, pictures: Path) -> None:
    client.collections.create(name)
    picture = (pictures / "circles" / "red.png").read_bytes()
    vector = client.embed("a red circle").vectors[0]
    metadata = {"tags": ["a", "b"], "camera": {"lens": 35, "name": "Ω"}, "ratio": 1.5, "no": None}
    items = [
        Item("picture", content=picture, metadata=metadata, uri="file:///red.png", store=True),
        Item("text", content="a red circle", store=True),
        Item("vector", vector=vector * 3),
        Item("bad", content=b"no picture"),
    ]
    answers = list(client.upsert(name, items))
    assert answers[:3] == [Upserted(key, created=True) for key in ("picture", "text", "vector")]
    assert isinstance(answers[3].error, errors.InvalidArgumentError)

    stored = client.items.get(name, "picture", include_content=True)
    assert (stored.metadata, stored.uri, stored.content) == (metadata, "file:///red.png", picture)
    assert client.items.get(name, "text", include_content=True).content == "a red circle"
    by_vector = client.items.get(name, "vector", include_vector=True)
    assert not by_vector.has_content
    assert by_vector.vector is not None
    np.testing.assert_allclose(by_vector.vector, vector, atol=1e-5)

    assert list(client.upsert(name, items[1:2])) == [Upserted("text", created=False)]
    assert [item.id for item in client.items.list(name)] == ["picture", "vector", "text"]
    assert [item.id for item in client.items.list(name, filter="ratio > 1")] == ["picture"]


def test_items_are_written_listed_and_deleted_by_the_thousand(client: Client, name: str) -> None:
    dimension = client.collections.create(name).dimension
    vectors = np.random.default_rng(1).normal(size=(1_500, dimension))
    ids = [f"{number:04}" for number in range(1_500)]
    items = (Item(key, vector=vector) for key, vector in zip(ids, vectors, strict=True))
    assert [answer.id for answer in client.upsert(name, items) if answer.created] == ids
    assert [item.id for item in client.items.list(name)] == ids
    deleted = client.items.delete(name, [*ids, "missing"])
    assert [answer.id for answer in deleted if answer.error is None] == ids
    assert isinstance(deleted[-1].error, errors.NotFoundError)
    assert client.collections.get(name).item_count == 0


def test_models_are_listed_and_found_by_name(client: Client) -> None:
    models = list(client.models.list())
    default = client.models.get()
    assert default in models
    assert default.default
    assert default.ready
    assert {encoder.role for encoder in default.encoders} == {"image_encoder", "text_encoder"}
    with pytest.raises(errors.NotFoundError):
        client.models.get("missing")


def test_waiting_for_a_gateway_that_is_not_there_ends(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/none") as client, pytest.raises(errors.DeadlineExceededError):
        client.wait_ready(0.2)


def test_a_deadline_that_passes_is_an_error(client: Client) -> None:
    with pytest.raises(TriptychError) as caught:
        client.embed(["a circle"] * 256, timeout=1e-6)
    assert isinstance(caught.value, errors.DeadlineExceededError)


def test_stored_raw_pictures_come_back_as_png(client: Client, name: str) -> None:
    client.collections.create(name)
    pixels = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    list(client.upsert(name, [Item("raw", content=pixels, store=True)]))
    stored = client.items.get(name, "raw", include_content=True).content
    assert isinstance(stored, bytes)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), pixels)
