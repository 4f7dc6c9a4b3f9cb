from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych import CaptionOrder, ChatMessage, ChatRole, Generation, language_requests
from triptych.v1 import vision_language_pb2

RED = np.zeros((4, 4, 3), np.uint8)
GENERATIONS = st.builds(
    Generation,
    temperature=st.none() | st.floats(0, 2, width=32),
    top_k=st.none() | st.integers(0, 1000),
    top_p=st.none() | st.floats(0, 1, width=32),
    repetition_penalty=st.none() | st.floats(0, 10, width=32),
    min_tokens=st.none() | st.integers(0, 100),
    max_tokens=st.none() | st.integers(1, 100),
    stop=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=8).map(tuple),
    seed=st.none() | st.integers(0, 2**64 - 1),
    num_beams=st.none() | st.integers(1, 16),
    length_penalty=st.none() | st.floats(-10, 10, width=32),
)


def captions(images: Any, **options: Any) -> list[vision_language_pb2.CaptionRequest]:
    defaults: dict[str, Any] = {
        "prompt": "",
        "num_captions": 1,
        "generation": None,
        "clip": False,
        "itm": False,
        "order_by": None,
        "model": "",
    }
    return list(language_requests.caption(images, **(defaults | options)))


@given(GENERATIONS)
def test_a_generation_is_sent_field_by_field_and_none_is_absent(generation: Generation) -> None:
    message = language_requests.answer(RED, "what?", (), generation, "").generation
    for name in Generation.__dataclass_fields__:
        value = getattr(generation, name)
        if name == "stop":
            assert tuple(message.stop) == value
        else:
            assert message.HasField(name) is (value is not None)
            assert value is None or getattr(message, name) == value


def test_no_generation_is_absent() -> None:
    assert not language_requests.answer(RED, "what?", (), None, "").HasField("generation")
    assert not captions(RED)[0].HasField("generation")


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_a_generation_that_cannot_be_sent_is_named(kind: type[Exception]) -> None:
    bad: Any = -1 if kind is ValueError else "many"
    with pytest.raises(kind, match=r"generation\.max_tokens: "):
        captions(RED, generation=Generation(max_tokens=bad))
    with pytest.raises(TypeError, match=r"generation\.stop: "):
        captions(RED, generation=Generation(stop="end"))


@given(st.integers(1, 200))
def test_pictures_are_sent_64_a_call_in_their_order(count: int) -> None:
    requests = captions([bytes([number]) for number in range(count)])
    assert [len(request.images) for request in requests[:-1]] == [64] * (len(requests) - 1)
    sent = [image.encoded for request in requests for image in request.images]
    assert sent == [bytes([number]) for number in range(count)]


def test_large_pictures_are_sent_in_several_calls() -> None:
    requests = captions([bytes(12 << 20)] * 5)
    assert [len(request.images) for request in requests] == [2, 2, 1]


def test_a_caption_request_says_all(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RED).save(path)
    (request,) = captions(
        [path, RED],
        prompt="a",
        num_captions=3,
        generation=Generation(temperature=1),
        clip="large",
        itm=True,
        order_by=CaptionOrder.ITM,
        model="m",
    )
    assert request.images[0].encoded == path.read_bytes()
    assert request.images[1].raw.data == RED.tobytes()
    assert (request.prompt, request.num_captions, request.model) == ("a", 3, "m")
    scoring = request.scoring
    assert (scoring.clip, scoring.clip_model) == (True, "large")
    assert (scoring.itm, scoring.itm_model) == (True, "")
    assert request.order_by == vision_language_pb2.CAPTION_ORDER_ITM


def test_an_order_may_be_named_and_must_be_one() -> None:
    order: Any = "clip"
    assert captions(RED, order_by=order)[0].order_by == vision_language_pb2.CAPTION_ORDER_CLIP
    with pytest.raises(ValueError, match="'best' is not a valid CaptionOrder"):
        captions(RED, order_by="best")


@pytest.mark.parametrize("images", ["a.jpg", ["a.jpg"], [RED, "a.jpg"]])
def test_text_is_no_picture(images: Any) -> None:
    with pytest.raises(TypeError, match=r"images\[.\]: expected a picture, got text"):
        captions(images)
    with pytest.raises(TypeError, match="image: expected a picture, got text"):
        language_requests.answer("a.jpg", "what?", (), None, "")  # type: ignore[arg-type]


def test_words_that_are_no_text_are_named() -> None:
    with pytest.raises(ValueError, match="question: not text"):
        language_requests.answer(RED, "\ud800", (), None, "")
    with pytest.raises(ValueError, match=r"choices\[1\]: not text"):
        language_requests.answer(RED, "what?", ["a", "\ud800"], None, "")
    with pytest.raises(TypeError, match="not one str"):
        language_requests.answer(RED, "what?", "yes", None, "")
    with pytest.raises(ValueError, match="prompt: not text"):
        captions(RED, prompt="\ud800")


@pytest.mark.parametrize(
    "talk", ["what is it?", [RED, "what is it?"], ChatMessage.user(RED, "what is it?")]
)
def test_contents_alone_are_one_message_of_the_user(talk: Any) -> None:
    (message,) = language_requests.conversation(talk)
    assert message.role is ChatRole.USER
    assert message.contents[-1] == "what is it?"


def test_a_conversation_is_sent_message_by_message() -> None:
    talk = [ChatMessage.user(RED, "what?"), ChatMessage.assistant("a"), ChatMessage.user("why?")]
    messages = language_requests.conversation(talk)
    request = language_requests.chat(messages, Generation(seed=7), "m")
    assert [message.role for message in request.messages] == [1, 2, 1]
    assert request.messages[0].contents[0].image.raw.data == RED.tobytes()
    assert [message.contents[-1].text for message in request.messages] == ["what?", "a", "why?"]
    assert (request.generation.seed, request.model) == (7, "m")


@pytest.mark.parametrize(
    ("talk", "error", "named"),
    [
        ([], ValueError, "messages: nothing"),
        (7, TypeError, r"messages\[0\].contents\[0\]"),
        (["a", 7], TypeError, r"messages\[0\].contents\[1\]"),
        ([ChatMessage.user("a"), "b"], TypeError, "beside a ChatMessage"),
        ([ChatMessage(ChatRole.USER, "a")], TypeError, r"messages\[0\].contents"),  # type: ignore[arg-type]
        ([ChatMessage.user("a"), ChatMessage.assistant("\ud800")], ValueError, r"messages\[1\]"),
        (Path("missing.jpg"), FileNotFoundError, "missing.jpg"),
    ],
)
def test_what_is_no_conversation_is_refused_before_anything_is_sent(
    talk: Any, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        language_requests.conversation(talk)
