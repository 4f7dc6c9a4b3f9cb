"""Response messages of captions, answers and chats to callers' values; see `responses`."""

from collections.abc import Sequence

from triptych.errors import from_item_error
from triptych.language import (
    Answer,
    Caption,
    Captioned,
    Captions,
    ChatEnd,
    ChoiceScore,
    FinishReason,
    Usage,
)
from triptych.responses import timing
from triptych.types import Timing
from triptych.v1 import vision_language_pb2

_FINISH_REASONS = {
    vision_language_pb2.FINISH_REASON_STOP: FinishReason.STOP,
    vision_language_pb2.FINISH_REASON_LENGTH: FinishReason.LENGTH,
}


def captions(responses: Sequence[vision_language_pb2.CaptionResponse]) -> Captions:
    """Join the responses of one `caption`, at least one."""
    return Captions(
        results=tuple(_captioned(result) for r in responses for result in r.results),
        model=responses[0].model,
        usage=sum((usage(r.usage) for r in responses), Usage()),
        timing=sum((timing(r.timing) for r in responses), Timing()),
    )


def _captioned(result: vision_language_pb2.CaptionResult) -> Captioned:
    if result.HasField("error"):
        return Captioned(error=from_item_error(result.error))
    return Captioned(tuple(_caption(caption) for caption in result.captions.captions))


def _caption(message: vision_language_pb2.Caption) -> Caption:
    return Caption(
        text=message.text,
        log_probability=message.log_probability,
        tokens=message.tokens,
        finish_reason=_FINISH_REASONS.get(message.finish_reason),
        clip_score=message.clip_score if message.HasField("clip_score") else None,
        itm_score=message.itm_score if message.HasField("itm_score") else None,
    )


def answer(response: vision_language_pb2.AnswerResponse) -> Answer:
    return Answer(
        text=response.answer,
        log_probability=response.log_probability,
        finish_reason=_FINISH_REASONS.get(response.finish_reason),
        choices=tuple(
            ChoiceScore(score.choice, score.log_probability, score.probability)
            for score in response.choices
        ),
        model=response.model,
        usage=usage(response.usage),
        timing=timing(response.timing),
    )


def chat_end(message: vision_language_pb2.ChatEnd) -> ChatEnd:
    return ChatEnd(
        finish_reason=_FINISH_REASONS.get(message.finish_reason),
        log_probability=message.log_probability,
        trimmed_messages=message.trimmed_messages,
        model=message.model,
        usage=usage(message.usage),
        timing=timing(message.timing),
    )


def usage(message: vision_language_pb2.Usage) -> Usage:
    return Usage(message.prompt_tokens, message.completion_tokens)
