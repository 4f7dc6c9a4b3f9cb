"""What a chat model is asked."""

import pytest

from triptych_server.capabilities.chat_form import ChatForm
from triptych_server.capabilities.forms import Place
from triptych_server.engines.generators.protocol import ChatPrompt, Message, Picture, Speaker
from triptych_server.engines.generators.spec import Instructions
from triptych_server.media.content import Text

FORM = ChatForm(Instructions("Describe it.", "About the picture: {question}"))
FIRST, SECOND = Picture(b"first", "image/png"), Picture(b"second", "image/png")
USER, ASSISTANT = Speaker.USER, Speaker.ASSISTANT
CONVERSATION = [
    [Text("this "), Place(0), Text("and that:"), Text(" say"), Place(1)],
    [Text(" no ")],
    [Place(2), Text("and now?")],
]


def test_caption_is_asked_for_and_begun() -> None:
    asked = Message(USER, [FIRST, Text("Describe it.")])
    assert FORM.caption("").prompt([FIRST]) == ChatPrompt([asked])
    begun = FORM.caption("a photo of").prompt([FIRST])
    assert begun == ChatPrompt([asked, Message(ASSISTANT, [Text("a photo of")])])


def test_braces_of_people_stay_what_they_are() -> None:
    prompt = FORM.question(" what is {question}?\n").prompt([FIRST])
    text = Text("About the picture: what is {question}?")
    assert prompt == ChatPrompt([Message(USER, [FIRST, text])])


def test_texts_beside_each_other_are_one_and_pictures_stay_between() -> None:
    third = Picture(b"third", "image/png")
    draft = FORM.conversation(CONVERSATION, 0)
    assert draft.pictures == [0, 1, 2]
    assert draft.prompt([FIRST, SECOND, third]) == ChatPrompt(
        [
            Message(USER, [Text("this"), FIRST, Text("and that: say"), SECOND]),
            Message(ASSISTANT, [Text("no")]),
            Message(USER, [third, Text("and now?")]),
        ]
    )


def test_pictures_go_with_the_messages_that_are_left_out() -> None:
    draft = FORM.conversation(CONVERSATION, 2)
    assert draft.pictures == [2]
    assert draft.prompt([FIRST]) == ChatPrompt([Message(USER, [FIRST, Text("and now?")])])


def test_words_are_without_pictures() -> None:
    words = FORM.conversation(CONVERSATION, 0).words
    assert words == ChatPrompt(
        [
            Message(USER, [Text("this and that: say")]),
            Message(ASSISTANT, [Text("no")]),
            Message(USER, [Text("and now?")]),
        ]
    )


def test_every_picture_must_be_seen() -> None:
    with pytest.raises(ValueError, match="shorter"):
        FORM.conversation(CONVERSATION, 0).prompt([FIRST])


def test_continuation_begins_a_reply() -> None:
    assert FORM.question("what?").continuation(" red ") == "red"
