"""Captions to seed pools, by a real gateway."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import Client, errors
from triptych.pool_building import build
from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2

CAPTIONS = ["a red circle", "a blue star", "a small green heart on a grey background"]


def test_a_pool_has_the_vectors_of_its_captions(gateway: str, tmp_path: Path) -> None:
    told: list[int] = []
    with Client(gateway) as client:
        built = build(client, tmp_path / "p", CAPTIONS, source="by hand", progress=told.append)
        embedded = client.embed(CAPTIONS)
    vectors = np.load(tmp_path / "p" / "vectors.npy")
    np.testing.assert_allclose(vectors, embedded.vectors, atol=1e-5)
    pool = built.pool
    assert (pool.model, pool.space, pool.count) == (embedded.model, embedded.space, 3)
    assert pool.source == "by hand"
    assert told == [1, 2, 3]


def test_captions_that_are_cut_are_left_out(gateway: str, tmp_path: Path) -> None:
    captions = [CAPTIONS[0], "red " * 200 + "circle", CAPTIONS[1]]
    with Client(gateway) as client:
        built = build(client, tmp_path / "p", captions)
    assert (built.truncated, built.pool.count) == (1, 2)
    lines = (tmp_path / "p" / "captions.txt").read_text().splitlines()
    assert lines == [CAPTIONS[0], CAPTIONS[1]]


def test_thousands_of_captions_keep_their_order(gateway: str, tmp_path: Path) -> None:
    captions = [f"a {size} circle number {n}" for n in range(1500) for size in ("small", "large")]
    with Client(gateway) as client:
        build(client, tmp_path / "p", captions)
        some = client.embed(captions[::500]).vectors
    assert (tmp_path / "p" / "captions.txt").read_text().splitlines() == captions
    np.testing.assert_allclose(np.load(tmp_path / "p" / "vectors.npy")[::500], some, atol=1e-4)


@pytest.mark.parametrize(
    ("captions", "options", "kind"),
    [
        ([], {}, ValueError),
        (CAPTIONS, {"model": "missing"}, errors.NotFoundError),
        ([CAPTIONS[0], CAPTIONS[0]], {}, ValueError),
    ],
)
def test_what_cannot_be_built_leaves_nothing(
    gateway: str, tmp_path: Path, captions: Any, options: Any, kind: type[Exception]
) -> None:
    with Client(gateway) as client, pytest.raises(kind):
        build(client, tmp_path / "p", captions, **options)
    assert os.listdir(tmp_path) == []


class Changing(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Embeds all texts alike; fails for `bad`, and has another space after `swap`."""

    def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> Any:
        result = embedding_pb2.EmbedResult(embedding=EMBEDDING)
        return embedding_pb2.EmbedResponse(results=[result], model="m", space="before")

    def StreamEmbed(self, requests: Any, context: Any) -> Any:
        space = "before"
        for request in requests:
            if request.content.text == "swap":
                space = "after"
            response = embedding_pb2.StreamEmbedResponse(id=request.id, space=space)
            if request.content.text == "bad":
                response.error.CopyFrom(media_pb2.ItemError(code=14, message="gone"))
            else:
                response.embedding.CopyFrom(EMBEDDING)
            yield response


EMBEDDING = embedding_pb2.Embedding(vector=media_pb2.Vector(data=b"\0\0\x80?", dimension=1))


@pytest.mark.parametrize(
    ("caption", "kind", "message"),
    [
        ("bad", errors.UnavailableError, r"captions\[1\]"),
        ("swap", errors.FailedPreconditionError, "m changed meanwhile"),
    ],
)
def test_what_goes_wrong_on_the_way_leaves_the_old_pool(
    serve: Any, tmp_path: Path, caption: str, kind: type[Exception], message: str
) -> None:
    with Client(serve(Changing())) as client:
        build(client, tmp_path / "p", ["a"])
        with pytest.raises(kind, match=message):
            build(client, tmp_path / "p", ["b", caption, "c"])
    assert os.listdir(tmp_path) == ["p"]
    assert (tmp_path / "p" / "captions.txt").read_text() == "a\n"
