"""The field rules of vision_language.proto."""

from collections.abc import Iterator
from typing import Any

from triptych.v1 import vision_language_pb2
from triptych_server.errors import Violation
from triptych_server.services import media
from triptych_server.services.rules import (
    Rule,
    above,
    all_of,
    at_least,
    between,
    characters,
    count,
    distinct,
    each,
    fields,
    first_of,
    not_blank,
    optional,
    present,
)

# `max_tokens` where a request has none.
CAPTION_TOKENS = 30
ANSWER_TOKENS = 16
CHAT_TOKENS = 256

MAX_BEAMS = 16

# Who speaks at even and at odd positions of a conversation.
_SIDES = (
    (vision_language_pb2.CHAT_ROLE_USER, "the user's"),
    (vision_language_pb2.CHAT_ROLE_ASSISTANT, "the assistant's"),
)


def _no_beams(value: int, path: str) -> Iterator[Violation]:
    if value != 1:
        yield Violation(path, f"must be 1, a stream cannot take back what it said; is {value}")


def _generation(default_tokens: int, *, beams: Rule) -> Rule:
    """The rule of Generation in an RPC, whose texts have so many tokens by default."""

    def tokens(value: Any, path: str) -> Iterator[Violation]:
        given = value.HasField("max_tokens")
        most = value.max_tokens if given else default_tokens
        if value.min_tokens > most:
            source = "max_tokens" if given else "the default of max_tokens"
            yield Violation(
                f"{path}.min_tokens", f"must be at most {source}, {most:,}; is {value.min_tokens:,}"
            )

    def search(value: Any, path: str) -> Iterator[Violation]:
        if value.num_beams > 1 and value.temperature > 0:
            yield Violation(f"{path}.num_beams", "must be 1 with a temperature")

    return all_of(
        optional(
            temperature=between(0, 2),
            top_k=between(0, 1_000),
            top_p=above(0, 1),
            repetition_penalty=above(0, 10),
            max_tokens=at_least(1),
            num_beams=beams,
            length_penalty=between(-10, 10),
        ),
        fields(stop=all_of(count(0, 8), each(characters(1, 64)))),
        tokens,
        search,
    )


def _num_captions(request: vision_language_pb2.CaptionRequest, path: str) -> Iterator[Violation]:
    beams = max(request.generation.num_beams, 1)
    sampled = request.generation.temperature > 0 and beams == 1
    if request.num_captions > beams and not sampled:
        yield Violation(
            "num_captions", f"needs a temperature, or as many beams; is {request.num_captions}"
        )


def _order(value: int, path: str) -> Iterator[Violation]:
    if value not in vision_language_pb2.CaptionOrder.values():
        yield Violation(path, f"must be LOG_PROBABILITY, CLIP or ITM, is {value}")


def _no_generation(request: vision_language_pb2.AnswerRequest, path: str) -> Iterator[Violation]:
    if request.choices and request.HasField("generation"):
        yield Violation("generation", "must not be set with choices")


def _a_text(contents: Any, path: str) -> Iterator[Violation]:
    if contents and not any(content.WhichOneof("kind") == "text" for content in contents):
        yield Violation(path, "must hold a text")


def _turns(messages: Any, path: str) -> Iterator[Violation]:
    """The sides speak in turn, and only the user shows pictures."""
    for position, message in enumerate(messages):
        where = f"{path}[{position}]"
        role, whose = _SIDES[position % 2]
        if message.role != role:
            yield Violation(f"{where}.role", f"must be {whose}: sides take turns")
        if message.role == vision_language_pb2.CHAT_ROLE_ASSISTANT:
            yield from _no_pictures(message.contents, f"{where}.contents")
    if messages and len(messages) % 2 == 0:
        yield Violation(f"{path}[{len(messages) - 1}].role", "must be the user's: it is the last")


def _no_pictures(contents: Any, path: str) -> Iterator[Violation]:
    for position, content in enumerate(contents):
        if content.WhichOneof("kind") == "image":
            yield Violation(f"{path}[{position}]", "must be a text: pictures are the user's")


CAPTION = all_of(
    fields(
        model=media.MODEL_NAME,
        images=count(1, 64),
        prompt=characters(0, 10_000),
        num_captions=between(0, 16),
        generation=_generation(CAPTION_TOKENS, beams=between(1, MAX_BEAMS)),
        scoring=fields(clip_model=media.MODEL_NAME, itm_model=media.MODEL_NAME),
        order_by=_order,
    ),
    _num_captions,
)
ANSWER = all_of(
    first_of(present("image"), fields(image=media.IMAGE)),
    fields(
        model=media.MODEL_NAME,
        question=all_of(not_blank, characters(0, 10_000)),
        choices=all_of(count(0, 64), each(all_of(not_blank, characters(0, 1_000))), distinct),
        generation=_generation(ANSWER_TOKENS, beams=between(1, MAX_BEAMS)),
    ),
    _no_generation,
)
CHAT = fields(
    model=media.MODEL_NAME,
    messages=first_of(
        count(1, 256),
        all_of(each(fields(contents=first_of(count(1, 64), each(media.CONTENT), _a_text))), _turns),
    ),
    generation=_generation(CHAT_TOKENS, beams=_no_beams),
)
