"""What Caption, Answer and Chat accept, field by field."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from calls import encoded, text

from triptych.v1 import media_pb2
from triptych.v1.vision_language_pb2 import (
    CHAT_ROLE_ASSISTANT,
    CHAT_ROLE_USER,
    AnswerRequest,
    CaptionRequest,
    ChatMessage,
    ChatRequest,
    Generation,
)
from triptych_server.errors import InvalidArgument
from triptych_server.services.rules import check
from triptych_server.services.vision_language_rules import ANSWER, CAPTION, CHAT

PICTURE = encoded(b"a picture")
IMAGE = PICTURE.image


def violated(rule: Any, message: Any) -> list[str]:
    try:
        check(rule, message)
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


def caption(**fields: Any) -> list[str]:
    return violated(CAPTION, CaptionRequest(**({"images": [IMAGE]} | fields)))


def answer(**fields: Any) -> list[str]:
    return violated(ANSWER, AnswerRequest(**({"image": IMAGE, "question": "what?"} | fields)))


def chat(*messages: ChatMessage, **fields: Any) -> list[str]:
    return violated(CHAT, ChatRequest(messages=messages, **fields))


def user(*contents: media_pb2.Content) -> ChatMessage:
    return ChatMessage(role=CHAT_ROLE_USER, contents=contents)


def assistant(*contents: media_pb2.Content) -> ChatMessage:
    return ChatMessage(role=CHAT_ROLE_ASSISTANT, contents=contents)


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({}, []),
        ({"temperature": 0.0}, []),
        ({"temperature": 2.0}, []),
        ({"temperature": 2.1}, ["temperature"]),
        ({"temperature": -0.1}, ["temperature"]),
        ({"temperature": math.nan}, ["temperature"]),
        ({"top_k": 1_001}, ["top_k"]),
        ({"top_p": 0.0}, ["top_p"]),
        ({"top_p": 1.0}, []),
        ({"top_p": math.nan}, ["top_p"]),
        ({"repetition_penalty": 0.0}, ["repetition_penalty"]),
        ({"repetition_penalty": 10.0}, []),
        ({"repetition_penalty": math.inf}, ["repetition_penalty"]),
        ({"max_tokens": 0}, ["max_tokens"]),
        ({"max_tokens": 4, "min_tokens": 4}, []),
        ({"max_tokens": 4, "min_tokens": 5}, ["min_tokens"]),
        ({"min_tokens": 31}, ["min_tokens"]),
        ({"stop": ["."] * 8}, []),
        ({"stop": ["."] * 9}, ["stop"]),
        ({"stop": [".", ""]}, ["stop[1]"]),
        ({"stop": ["x" * 65]}, ["stop[0]"]),
        ({"seed": 2**64 - 1}, []),
        ({"num_beams": 16, "length_penalty": -10.0}, []),
        ({"num_beams": 17}, ["num_beams"]),
        ({"num_beams": 2, "temperature": 0.5}, ["num_beams"]),
        ({"num_beams": 1, "temperature": 0.5}, []),
        ({"length_penalty": math.nan}, ["length_penalty"]),
    ],
)
def test_generation(fields: dict[str, Any], violations: Sequence[str]) -> None:
    assert caption(generation=Generation(**fields)) == [f"generation.{each}" for each in violations]


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({"images": []}, ["images"]),
        ({"images": [IMAGE] * 64}, []),
        ({"images": [IMAGE] * 65}, ["images"]),
        ({"prompt": "x" * 10_001}, ["prompt"]),
        ({"num_captions": 2}, ["num_captions"]),
        ({"num_captions": 17, "generation": Generation(temperature=1)}, ["num_captions"]),
        ({"num_captions": 16, "generation": Generation(temperature=1)}, []),
        ({"num_captions": 3, "generation": Generation(num_beams=3)}, []),
        ({"num_captions": 3, "generation": Generation(num_beams=2)}, ["num_captions"]),
        ({"order_by": 9}, ["order_by"]),
        ({"model": "a/b"}, ["model"]),
        ({"scoring": {"clip_model": "?", "itm_model": "?"}}, ["clip_model", "itm_model"]),
    ],
)
def test_caption(fields: dict[str, Any], violations: Sequence[str]) -> None:
    assert [field.removeprefix("scoring.") for field in caption(**fields)] == violations


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({}, []),
        ({"image": None}, ["image"]),
        ({"image": media_pb2.Image()}, ["image"]),
        ({"question": " "}, ["question"]),
        ({"question": "x" * 10_001}, ["question"]),
        ({"choices": ["yes", "no"]}, []),
        ({"choices": ["yes", "no", "yes"]}, ["choices[2]"]),
        ({"choices": ["yes", " yes"]}, ["choices[1]"]),
        ({"choices": ["yes", " "]}, ["choices[1]"]),
        ({"choices": ["x" * 1_001]}, ["choices[0]"]),
        ({"choices": [str(n) for n in range(65)]}, ["choices"]),
        ({"choices": ["yes"], "generation": Generation()}, ["generation"]),
        ({"generation": Generation(min_tokens=17)}, ["generation.min_tokens"]),
    ],
)
def test_answer(fields: dict[str, Any], violations: Sequence[str]) -> None:
    assert answer(**fields) == violations


WHAT, RED = text("what colour?"), text("red")


@pytest.mark.parametrize(
    ("messages", "violations"),
    [
        ([], ["messages"]),
        ([user(WHAT)], []),
        ([user(PICTURE, WHAT)], []),
        ([user(WHAT), assistant(RED), user(WHAT)], []),
        ([user(WHAT), assistant(RED)] * 128 + [user(WHAT)], ["messages"]),
        ([user(WHAT), assistant(RED)], ["messages[1].role"]),
        ([assistant(RED)], ["messages[0].role"]),
        ([user(WHAT), user(WHAT), user(WHAT)], ["messages[1].role"]),
        ([ChatMessage(contents=[WHAT])], ["messages[0].role"]),
        ([ChatMessage(role=7, contents=[WHAT])], ["messages[0].role"]),
        ([user()], ["messages[0].contents"]),
        ([user(*[WHAT] * 65)], ["messages[0].contents"]),
        ([user(PICTURE)], ["messages[0].contents"]),
        ([user(WHAT, text(" "))], ["messages[0].contents[1].text"]),
        ([user(WHAT, media_pb2.Content())], ["messages[0].contents[1]"]),
        ([user(WHAT, encoded(b""))], ["messages[0].contents[1].image.encoded"]),
        (
            [user(WHAT), assistant(RED, PICTURE), user(WHAT)],
            ["messages[1].contents[1]"],
        ),
    ],
)
def test_chat(messages: Sequence[ChatMessage], violations: Sequence[str]) -> None:
    assert chat(*messages) == violations


def test_chat_refuses_beams() -> None:
    assert chat(user(WHAT), generation=Generation(num_beams=2)) == ["generation.num_beams"]
    assert chat(user(WHAT), generation=Generation(num_beams=1, min_tokens=256)) == []
