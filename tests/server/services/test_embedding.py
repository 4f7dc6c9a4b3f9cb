"""EmbeddingService, through a real gateway."""

import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from calls import MODEL, Stubs, array, encoded, png, raw, refusal, text, vector
from scenes import Scenes

from triptych.v1 import embedding_pb2, media_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def embed(stubs: Stubs, contents: list[media_pb2.Content]) -> embedding_pb2.EmbedResponse:
    return stubs.embedding.Embed(embedding_pb2.EmbedRequest(contents=contents))


def vectors(stubs: Stubs, contents: list[media_pb2.Content]) -> np.ndarray:
    return np.stack([array(each.embedding.vector) for each in embed(stubs, contents).results])


def test_text_and_pictures_are_embedded_in_the_order_of_the_request(
    stubs: Stubs, scenes: Scenes
) -> None:
    contents = [
        content
        for caption, pixels in zip(scenes.english[:8], scenes.pixels[:8], strict=True)
        for content in (text(caption), raw(pixels))
    ]
    response = embed(stubs, contents)
    found = np.stack([array(each.embedding.vector) for each in response.results])
    assert response.model == MODEL
    assert response.space.startswith("clip")
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    one_by_one = np.concatenate([vectors(stubs, [content]) for content in contents])
    assert np.abs(found - one_by_one).max() < 1e-5


def test_caption_is_nearest_to_its_picture_in_both_languages(stubs: Stubs, scenes: Scenes) -> None:
    pictures = vectors(stubs, [raw(pixels) for pixels in scenes.pixels])
    for captions in (scenes.english, scenes.chinese):
        nearest = (vectors(stubs, [text(each) for each in captions]) @ pictures.T).argmax(axis=1)
        assert (nearest == np.arange(len(pictures))).mean() > 0.85


def test_raw_and_encoded_picture_have_one_vector(stubs: Stubs, scenes: Scenes) -> None:
    pixels = scenes.pixels[0]
    first, second = vectors(stubs, [raw(pixels), encoded(png(pixels))])
    assert np.abs(first - second).max() < 1e-6


def test_one_corrupt_picture_of_64_fails_alone(stubs: Stubs, scenes: Scenes) -> None:
    contents = [encoded(png(pixels)) for pixels in scenes.pixels]
    expected = vectors(stubs, contents)
    contents[17] = encoded(png(scenes.pixels[17])[:60])
    results = embed(stubs, contents).results
    assert [i for i, each in enumerate(results) if each.HasField("error")] == [17]
    error = results[17].error
    assert (error.code, error.reason) == (INVALID.value[0], "IMAGE_UNREADABLE")
    assert error.field == "image.encoded"
    good = [i for i in range(64) if i != 17]
    found = np.stack([array(results[i].embedding.vector) for i in good])
    assert np.abs(found - expected[good]).max() < 1e-5


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (media_pb2.Content(), "kind"),
        (text(""), "text"),
        (text("  "), "text"),
        (encoded(b"not a picture"), "image.encoded"),
        (raw(np.zeros((0, 0, 3), np.uint8)), "image.raw.height"),
        (
            media_pb2.Content(
                image=media_pb2.Image(raw=media_pb2.RawImage(height=8, width=8, data=b"short"))
            ),
            "image.raw.data",
        ),
    ],
)
def test_bad_content_is_named(stubs: Stubs, content: media_pb2.Content, field: str) -> None:
    bad, good = embed(stubs, [content, text("a red circle")]).results
    assert (bad.error.code, bad.error.field) == (INVALID.value[0], field)
    assert good.HasField("embedding")


def test_long_text_is_truncated_and_says_so(stubs: Stubs) -> None:
    short, long = embed(stubs, [text("a small red circle"), text("red circle " * 9_100)]).results
    assert not short.embedding.truncated
    assert long.embedding.truncated
    assert np.linalg.norm(array(long.embedding.vector)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [0, 257])
def test_number_of_contents_is_bounded(stubs: Stubs, count: int) -> None:
    request = embedding_pb2.EmbedRequest(contents=[text("x")] * count)
    refused = refusal(stubs.embedding.Embed, request)
    assert (refused.code, refused.fields) == (INVALID, ["contents"])
    assert refused.reason == "INVALID_FIELD"


def test_unknown_model_is_not_found(stubs: Stubs) -> None:
    request = embedding_pb2.EmbedRequest(model="gpt", contents=[text("x")])
    refused = refusal(stubs.embedding.Embed, request)
    assert refused.code == grpc.StatusCode.NOT_FOUND
    assert (refused.reason, refused.fields) == ("MODEL_NOT_FOUND", ["model"])
    assert MODEL in refused.message


def test_timing_tells_the_batch(stubs: Stubs, scenes: Scenes) -> None:
    timing = embed(stubs, [raw(pixels) for pixels in scenes.pixels]).timing
    assert 1 < timing.batch_size <= 8
    assert timing.total.ToNanoseconds() >= timing.inference.ToNanoseconds() > 0


def test_passed_deadline_is_told_and_harms_nobody(stubs: Stubs, scenes: Scenes) -> None:
    request = embedding_pb2.EmbedRequest(contents=[raw(p) for p in scenes.pixels] * 4)
    with pytest.raises(grpc.RpcError) as caught:
        stubs.embedding.Embed(request, timeout=0.001)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert embed(stubs, [text("a red circle")]).results[0].HasField("embedding")


def test_stream_answers_every_id_with_a_vector_or_an_error(stubs: Stubs, scenes: Scenes) -> None:
    contents = {str(i): raw(pixels) for i, pixels in enumerate(scenes.pixels * 8)}
    contents |= {"bad": encoded(b"x"), "blank": text("")}
    requests = (
        embedding_pb2.StreamEmbedRequest(id=key, content=content)
        for key, content in contents.items()
    )
    answers = {answer.id: answer for answer in stubs.embedding.StreamEmbed(requests)}
    assert answers.keys() == contents.keys()
    failed = {key: each.error.field for key, each in answers.items() if each.HasField("error")}
    assert failed == {"bad": "content.image.encoded", "blank": "content.text"}
    [expected] = vectors(stubs, [raw(scenes.pixels[5])])
    assert np.abs(array(answers["69"].embedding.vector) - expected).max() < 1e-5


def test_stream_answers_while_it_is_still_open(stubs: Stubs) -> None:
    answered = threading.Event()

    def requests() -> Iterator[embedding_pb2.StreamEmbedRequest]:
        yield embedding_pb2.StreamEmbedRequest(id="1", content=text("a red circle"))
        assert answered.wait(10)
        yield embedding_pb2.StreamEmbedRequest(id="2", content=text("a red circle"))

    call = stubs.embedding.StreamEmbed(requests())
    assert next(call).id == "1"
    answered.set()
    assert [answer.id for answer in call] == ["2"]


def rank(stubs: Stubs, **fields: object) -> embedding_pb2.RankResponse:
    return stubs.embedding.Rank(embedding_pb2.RankRequest(**fields))


def test_rank_finds_the_label_of_a_picture(stubs: Stubs, scenes: Scenes) -> None:
    candidates = [text(caption) for caption in scenes.english[:10]]
    response = rank(stubs, query=raw(scenes.pixels[3]), candidates=candidates)
    scores = [each.score for each in response.results]
    assert response.results[0].index == 3
    assert [each.similarity for each in scores] == sorted(
        (each.similarity for each in scores), reverse=True
    )
    assert sum(each.probability for each in scores) == pytest.approx(1, abs=1e-5)
    limited = rank(stubs, query=raw(scenes.pixels[3]), candidates=candidates, limit=2)
    assert [each.index for each in limited.results] == [each.index for each in response.results[:2]]


def test_rank_averages_a_candidate_over_the_templates(stubs: Stubs, scenes: Scenes) -> None:
    templates = ["a small {}", "a large {}"]
    response = rank(
        stubs, query=raw(scenes.pixels[0]), candidates=[text("red circle")], templates=templates
    )
    prompts = vectors(stubs, [text("a small red circle"), text("a large red circle")])
    mean = prompts.mean(axis=0)
    [picture] = vectors(stubs, [raw(scenes.pixels[0])])
    expected = picture @ mean / np.linalg.norm(mean)
    assert response.results[0].score.similarity == pytest.approx(expected, abs=1e-5)


def test_rank_of_64_pictures_with_one_corrupt_scores_the_others(
    stubs: Stubs, scenes: Scenes
) -> None:
    candidates = [encoded(png(pixels)) for pixels in scenes.pixels]
    candidates[40] = encoded(b"broken")
    results = rank(stubs, query=text(scenes.english[5]), candidates=candidates, limit=63).results
    assert [each.index for each in results if each.HasField("error")] == [40]
    assert results[-1].index == 40
    assert len(results) == 64


def test_rank_names_a_bad_query(stubs: Stubs) -> None:
    request = embedding_pb2.RankRequest(query=encoded(b"x"), candidates=[text("y")])
    assert refusal(stubs.embedding.Rank, request).fields == ["query.image.encoded"]
    request = embedding_pb2.RankRequest(candidates=[text("y")])
    assert "query" in refusal(stubs.embedding.Rank, request).fields


def test_vectors_cross_the_wire_as_little_endian_floats(stubs: Stubs) -> None:
    message = embed(stubs, [text("a red circle")]).results[0].embedding.vector
    assert vector(array(message)) == message


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x7f"])
def test_malformed_message_is_the_callers_fault(stubs: Stubs, garbage: bytes) -> None:
    unary = stubs.channel.unary_unary("/triptych.v1.EmbeddingService/Embed")
    refused = refusal(unary, garbage)
    assert (refused.code, refused.reason) == (INVALID, "MALFORMED_REQUEST")
    stream = stubs.channel.stream_stream("/triptych.v1.EmbeddingService/StreamEmbed")
    with pytest.raises(grpc.RpcError) as caught:
        list(stream(iter([garbage])))
    assert caught.value.code() == INVALID
