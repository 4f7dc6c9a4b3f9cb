"""Caption through gRPC, on models whose texts mean nothing but depend on the picture."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from calls import MODEL, Stubs, array, encoded, refusal, text
from language import CONTEXT, FUSED, IMAGE_TOKENS, PLAIN, TWO_STEP, picture, pictures

from triptych.v1 import embedding_pb2, media_pb2
from triptych.v1.vision_language_pb2 import (
    CAPTION_ORDER_CLIP,
    CAPTION_ORDER_ITM,
    CAPTION_ORDER_LOG_PROBABILITY,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    Caption,
    CaptionRequest,
    CaptionResponse,
    CaptionScoring,
    Generation,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
FAILED = grpc.StatusCode.FAILED_PRECONDITION
SAMPLED = Generation(temperature=1, seed=7, max_tokens=6)


def caption(
    stubs: Stubs, images: Sequence[media_pb2.Image], prompt: str = "a photo of", **fields: Any
) -> CaptionResponse:
    request = CaptionRequest(images=images, prompt=prompt, **fields)
    return stubs.vision_language.Caption(request)


def captions_of(stubs: Stubs, image: media_pb2.Image, **fields: Any) -> list[Caption]:
    [result] = caption(stubs, [image], **fields).results
    return list(result.captions.captions)


def descending(scores: Sequence[float]) -> bool:
    return list(scores) == sorted(scores, reverse=True)


def test_caption_is_the_prompt_and_what_the_model_writes(language: Stubs) -> None:
    response = caption(language, [picture(255, 0, 0)])
    [result] = response.results
    [found] = result.captions.captions
    assert found.text.startswith("a photo of")
    assert len(found.text) > len("a photo of")
    assert (found.tokens, found.finish_reason) == (30, FINISH_REASON_LENGTH)
    assert found.log_probability < 0
    assert not found.HasField("clip_score")
    assert not found.HasField("itm_score")
    assert response.model == FUSED
    assert response.usage.completion_tokens == 30
    assert response.usage.prompt_tokens > IMAGE_TOKENS


def test_white_space_at_the_end_of_a_prompt_is_dropped(language: Stubs) -> None:
    captions = [
        captions_of(language, picture(255, 0, 0), prompt=prompt)[0]
        for prompt in ("a photo of", "a photo of  \n")
    ]
    assert captions[0] == captions[1]


def test_prompt_may_be_absent(language: Stubs) -> None:
    response = caption(language, [picture(255, 0, 0)], prompt="")
    assert response.usage.prompt_tokens == IMAGE_TOKENS + 1  # and the beginning of text
    assert response.results[0].captions.captions[0].text


def test_pictures_are_captioned_as_if_alone(language: Stubs) -> None:
    shown = pictures(12)
    together = caption(language, shown)
    alone = [caption(language, [each]) for each in shown]
    texts = [each.captions.captions[0].text for each in together.results]
    assert texts == [each.results[0].captions.captions[0].text for each in alone]
    assert len(set(texts)) > 1
    assert together.usage.prompt_tokens == sum(each.usage.prompt_tokens for each in alone)
    assert together.usage.completion_tokens == sum(each.usage.completion_tokens for each in alone)


def test_picture_becomes_a_prefix_in_one_network_or_in_two(language: Stubs) -> None:
    for each in pictures(3):
        [fused] = captions_of(language, each, model=FUSED)
        [stepwise] = captions_of(language, each, model=TWO_STEP)
        assert fused.text == stepwise.text


def test_one_corrupt_picture_fails_alone(language: Stubs) -> None:
    shown = pictures(8)
    expected = caption(language, shown).results
    shown[3] = encoded(b"no picture").image
    shown[5] = media_pb2.Image()
    results = caption(language, shown).results
    failed = {i: each.error for i, each in enumerate(results) if each.HasField("error")}
    assert {i: error.field for i, error in failed.items()} == {3: "encoded", 5: "source"}
    assert {error.code for error in failed.values()} == {INVALID.value[0]}
    assert failed[3].reason == "IMAGE_UNREADABLE"
    assert [results[i] for i in range(8) if i not in failed] == [
        expected[i] for i in range(8) if i not in failed
    ]


def test_64_corrupt_pictures_are_64_errors(language: Stubs) -> None:
    response = caption(language, [encoded(bytes([n])).image for n in range(64)])
    assert [each.error.reason for each in response.results] == ["IMAGE_UNREADABLE"] * 64
    assert response.usage.completion_tokens == 0
    assert not response.timing.HasField("first_token")


def test_stop_string_ends_a_caption(language: Stubs) -> None:
    [whole] = captions_of(language, picture(0, 0, 255), prompt="")
    stop = whole.text[4:6]
    [found] = captions_of(language, picture(0, 0, 255), prompt="", generation={"stop": [stop]})
    assert found.finish_reason == FINISH_REASON_STOP
    assert found.text == whole.text[: whole.text.index(stop)].strip()


def test_sampled_captions_come_likeliest_first_and_again(language: Stubs) -> None:
    found = captions_of(language, picture(255, 0, 0), num_captions=16, generation=SAMPLED)
    assert len({each.text for each in found}) > 1
    assert descending([each.log_probability for each in found])
    again = captions_of(language, picture(255, 0, 0), num_captions=16, generation=SAMPLED)
    assert found == again


def test_equal_captions_are_kept(language: Stubs) -> None:
    narrow = Generation(temperature=1, top_k=1, max_tokens=6)
    scoring = CaptionScoring(clip=True, itm=True)
    found = captions_of(
        language, picture(255, 0, 0), num_captions=5, generation=narrow, scoring=scoring
    )
    [greedy] = captions_of(language, picture(255, 0, 0), generation=Generation(max_tokens=6))
    assert [each.text for each in found] == [greedy.text] * 5
    assert len({each.clip_score for each in found}) == 1


def test_beams_come_by_their_own_score_or_by_likelihood(language: Stubs) -> None:
    beams = Generation(num_beams=6, max_tokens=8)
    fields: dict[str, Any] = {"num_captions": 6, "generation": beams}
    by_score = captions_of(language, picture(9, 200, 30), **fields)
    by_likelihood = captions_of(
        language, picture(9, 200, 30), order_by=CAPTION_ORDER_LOG_PROBABILITY, **fields
    )
    assert len({each.text for each in by_score}) == 6
    assert descending([each.log_probability for each in by_likelihood])
    assert sorted(each.text for each in by_score) == sorted(each.text for each in by_likelihood)


def test_clip_score_is_the_cosine_of_caption_and_picture(language: Stubs) -> None:
    shown = picture(255, 0, 0)
    found = captions_of(
        language,
        shown,
        num_captions=4,
        generation=SAMPLED,
        scoring=CaptionScoring(clip=True, clip_model=MODEL),
    )
    contents = [media_pb2.Content(image=shown), *(text(each.text) for each in found)]
    request = embedding_pb2.EmbedRequest(model=MODEL, contents=contents)
    results = language.embedding.Embed(request).results
    image, *texts = [array(each.embedding.vector) for each in results]
    assert [each.clip_score for each in found] == pytest.approx(
        [float(image @ each) for each in texts], abs=1e-5
    )


@pytest.mark.parametrize(
    ("colour", "least", "most"), [((255, 0, 0), 0.99, 1), ((0, 255, 0), 0, 0.01)]
)
def test_itm_score_is_the_probability_of_a_match(
    language: Stubs, colour: tuple[int, int, int], least: float, most: float
) -> None:
    scoring = CaptionScoring(itm=True, itm_model=TWO_STEP)
    [found] = captions_of(language, picture(*colour), prompt="red ", scoring=scoring)
    assert least <= found.itm_score <= most
    assert not found.HasField("clip_score")


@pytest.mark.parametrize(
    ("order", "score"), [(CAPTION_ORDER_CLIP, "clip_score"), (CAPTION_ORDER_ITM, "itm_score")]
)
def test_ordering_by_a_score_computes_it(language: Stubs, order: int, score: str) -> None:
    shown = picture(255, 0, 0)
    fields: dict[str, Any] = {"num_captions": 8, "generation": SAMPLED, "prompt": ""}
    found = captions_of(language, shown, order_by=order, **fields)
    assert all(each.HasField(score) for each in found)
    assert descending([getattr(each, score) for each in found])
    by_likelihood = captions_of(language, shown, **fields)
    assert sorted(each.text for each in found) == sorted(each.text for each in by_likelihood)


def test_caption_beyond_the_context_of_a_scorer_is_scored_by_its_beginning(
    language: Stubs,
) -> None:
    scoring = CaptionScoring(clip=True, itm=True)
    for beginning, match in (("red ", 1.0), ("green ", 0.0)):
        prompt = beginning + "and " * 99
        [found] = captions_of(language, picture(255, 0, 0), prompt=prompt, scoring=scoring)
        assert found.itm_score == pytest.approx(match, abs=0.01)
        assert found.HasField("clip_score")


def test_timing_tells_the_stages(language: Stubs) -> None:
    timing = caption(language, pictures(8)).timing
    total = timing.total.ToNanoseconds()
    assert total >= timing.first_token.ToNanoseconds() > 0
    assert total >= timing.generation.ToNanoseconds() > 0
    assert timing.inference.ToNanoseconds() > 0
    assert timing.batch_size > 1


def test_text_is_shorter_where_the_context_is_full(language: Stubs) -> None:
    def tokens(prompt: str) -> int:
        response = caption(language, pictures(1), prompt, generation=Generation(max_tokens=1))
        return response.usage.prompt_tokens

    one, two = tokens(" x"), tokens(" x x")
    prompt = " x" * ((CONTEXT - 10 - one) // (two - one))
    room = CONTEXT - tokens(prompt)
    assert 0 < room < 30
    [found] = captions_of(language, pictures(1)[0], prompt=prompt)
    assert found.tokens == room
    too_many = Generation(max_tokens=room + 1)
    refused = refused_fields(language, prompt=prompt, generation=too_many)
    assert refused == (INVALID, "EXCEEDS_CONTEXT", ["generation.max_tokens"])


def refused_fields(stubs: Stubs, **fields: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    request = CaptionRequest(**({"images": pictures(1)} | fields))
    refused = refusal(stubs.vision_language.Caption, request)
    return refused.code, refused.reason, refused.fields


def test_prompt_over_the_context_is_refused(language: Stubs) -> None:
    refused = refused_fields(language, prompt="word " * 2_000)
    assert refused == (INVALID, "PROMPT_TOO_LONG", ["prompt"])


@pytest.mark.parametrize("tokens", [CONTEXT, 2**32 - 1])
def test_more_tokens_than_the_context_are_refused(language: Stubs, tokens: int) -> None:
    refused = refused_fields(language, generation=Generation(max_tokens=tokens))
    assert refused == (INVALID, "EXCEEDS_CONTEXT", ["generation.max_tokens"])


def test_model_that_lacks_what_is_asked_for_is_told(language: Stubs) -> None:
    beams = Generation(num_beams=2)
    for fields, reason, field in (
        ({"model": MODEL}, "TASK_NOT_SUPPORTED", "model"),
        ({"model": PLAIN, "generation": beams}, "BEAMS_NOT_SUPPORTED", "generation.num_beams"),
        (
            {"scoring": {"clip": True, "clip_model": FUSED}},
            "TASK_NOT_SUPPORTED",
            "scoring.clip_model",
        ),
        ({"scoring": {"itm": True, "itm_model": FUSED}}, "TASK_NOT_SUPPORTED", "scoring.itm_model"),
    ):
        assert refused_fields(language, **fields) == (FAILED, reason, [field])


def test_unknown_model_is_told(language: Stubs) -> None:
    unknown = grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"
    assert refused_fields(language, model="gpt") == (*unknown, ["model"])
    scoring = CaptionScoring(itm=True, itm_model="gpt")
    assert refused_fields(language, scoring=scoring) == (*unknown, ["scoring.itm_model"])
