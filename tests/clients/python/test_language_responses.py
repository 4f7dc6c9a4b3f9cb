import pytest

from triptych import Caption, Captioned, FinishReason, Timing, Usage, errors
from triptych import language_responses as responses
from triptych.v1 import media_pb2, vision_language_pb2


def caption_response(*texts: str) -> vision_language_pb2.CaptionResponse:
    response = vision_language_pb2.CaptionResponse(
        results=[
            vision_language_pb2.CaptionResult(
                captions=vision_language_pb2.Captions(
                    captions=[
                        vision_language_pb2.Caption(
                            text=text, log_probability=-2, tokens=5, finish_reason=1, clip_score=0
                        )
                    ]
                )
            )
            for text in texts
        ],
        model="m",
        usage=vision_language_pb2.Usage(prompt_tokens=3, completion_tokens=5),
    )
    response.timing.total.FromSeconds(2)
    response.timing.generation.FromSeconds(1)
    response.timing.first_token.FromMilliseconds(500)
    return response


def test_captions_of_several_calls_are_joined() -> None:
    captions = responses.captions([caption_response("a", "b"), caption_response("c")])
    assert captions.texts == ["a", "b", "c"]
    assert captions[1] == Captioned((Caption("b", -2, 5, FinishReason.STOP, clip_score=0),))
    assert (len(captions), captions.model, captions.usage) == (3, "m", Usage(6, 10))
    assert captions.timing == Timing(total=4, generation=2, first_token=0.5)


def test_a_score_of_zero_is_not_one_that_is_absent() -> None:
    (caption,) = responses.captions([caption_response("a")])[0].captions
    assert (caption.clip_score, caption.itm_score) == (0, None)


def test_a_picture_that_failed_has_no_captions_but_an_error() -> None:
    response = caption_response("a")
    error = media_pb2.ItemError(code=3, field="encoded", message="broken")
    response.results.append(vision_language_pb2.CaptionResult(error=error))
    captions = responses.captions([response])
    assert isinstance(captions[1].error, errors.InvalidArgumentError)
    assert captions[1].captions == ()
    with pytest.raises(errors.InvalidArgumentError, match=r"images\[1\].encoded: broken"):
        _ = captions.texts


def test_reasons_that_are_newer_than_the_client_are_none() -> None:
    response = vision_language_pb2.AnswerResponse(answer="a", finish_reason=77)  # type: ignore[arg-type]
    assert responses.answer(response).finish_reason is None


def test_the_end_of_a_chat_tells_what_it_took() -> None:
    end = responses.chat_end(
        vision_language_pb2.ChatEnd(finish_reason=2, trimmed_messages=4, log_probability=-3)
    )
    assert (end.finish_reason, end.trimmed_messages) == (FinishReason.LENGTH, 4)
    assert (end.log_probability, end.timing.first_token) == (-3, None)


def test_the_first_token_of_calls_in_turn_counts_from_the_first() -> None:
    assert (Timing(total=2) + Timing(total=3, first_token=1)).first_token == 3
    assert (Timing(total=2, first_token=1) + Timing(total=3, first_token=1)).first_token == 1
