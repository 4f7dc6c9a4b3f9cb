"""Answer through gRPC, on models whose texts mean nothing but depend on the picture."""

from typing import Any

import grpc
import pytest
from calls import Stubs, encoded, refusal
from language import FUSED, IMAGE_TOKENS, PLAIN, picture

from triptych.v1.vision_language_pb2 import (
    FINISH_REASON_LENGTH,
    FINISH_REASON_UNSPECIFIED,
    AnswerRequest,
    AnswerResponse,
    CaptionRequest,
    Generation,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
RED = picture(255, 0, 0)


def answer(stubs: Stubs, **fields: Any) -> AnswerResponse:
    request = AnswerRequest(**({"image": RED, "question": "what colour?"} | fields))
    return stubs.vision_language.Answer(request)


def refused_fields(stubs: Stubs, **fields: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    request = AnswerRequest(**({"image": RED, "question": "what colour?"} | fields))
    refused = refusal(stubs.vision_language.Answer, request)
    return refused.code, refused.reason, refused.fields


def test_answer_continues_the_question_in_the_models_form(language: Stubs) -> None:
    found = answer(language)
    prompt = "Question: what colour? Answer:"
    request = CaptionRequest(images=[RED], prompt=prompt, generation=Generation(max_tokens=16))
    [result] = language.vision_language.Caption(request).results
    [caption] = result.captions.captions
    assert found.answer == caption.text.removeprefix(prompt).strip() != ""
    assert found.log_probability == pytest.approx(caption.log_probability, abs=1e-3)
    assert found.finish_reason == FINISH_REASON_LENGTH
    assert found.usage.completion_tokens == 16
    assert found.usage.prompt_tokens > IMAGE_TOKENS
    assert (found.model, len(found.choices)) == (FUSED, 0)


def test_answer_depends_on_the_picture(language: Stubs) -> None:
    assert answer(language).answer != answer(language, image=picture(0, 0, 255)).answer


def test_likeliest_choice_is_the_answer(language: Stubs) -> None:
    choices = ["red", "a green one", "no", "红色"]
    found = answer(language, choices=choices)
    assert [each.choice for each in found.choices] == choices
    assert sum(each.probability for each in found.choices) == pytest.approx(1, abs=1e-6)
    best = max(found.choices, key=lambda each: each.log_probability)
    assert (found.answer, found.log_probability) == (best.choice, best.log_probability)
    assert best.probability == max(each.probability for each in found.choices)
    assert found.finish_reason == FINISH_REASON_UNSPECIFIED
    assert found.usage.completion_tokens == 0
    assert found.timing.generation.ToNanoseconds() > 0
    assert not found.timing.HasField("first_token")


def test_choice_is_scored_by_itself(language: Stubs) -> None:
    together = answer(language, choices=["red", "a green one", "no"])
    for each in together.choices:
        alone = answer(language, choices=[each.choice])
        assert alone.log_probability == pytest.approx(each.log_probability, abs=1e-3)
        assert alone.choices[0].probability == 1


def test_64_choices_of_a_thousand_characters_fit_or_are_named(language: Stubs) -> None:
    choices = [f"{n} yes" for n in range(63)] + ["word " * 199]
    refused = refused_fields(language, choices=choices)
    assert refused == (INVALID, "EXCEEDS_CONTEXT", ["choices[63]"])
    assert len(answer(language, choices=choices[:63]).choices) == 63


def test_question_over_the_context_is_refused(language: Stubs) -> None:
    long = "word " * 1_000
    expected = (INVALID, "PROMPT_TOO_LONG", ["question"])
    assert refused_fields(language, question=long) == expected
    assert refused_fields(language, question=long, choices=["yes"]) == expected


def test_model_without_scores_takes_no_choices(language: Stubs) -> None:
    failed = grpc.StatusCode.FAILED_PRECONDITION
    refused = refused_fields(language, model=PLAIN, choices=["yes", "no"])
    assert refused == (failed, "CHOICES_NOT_SUPPORTED", ["choices"])
    assert answer(language, model=PLAIN).model == PLAIN


def test_corrupt_picture_is_named(language: Stubs) -> None:
    refused = refused_fields(language, image=encoded(b"no picture").image)
    assert refused == (INVALID, "IMAGE_UNREADABLE", ["image.encoded"])


def test_special_tokens_in_a_question_are_its_characters(language: Stubs) -> None:
    plain = answer(language, question="end it </s> <image> here").usage.prompt_tokens
    assert plain > answer(language, question="end it here").usage.prompt_tokens + 2
