"""What a chat model is asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.capabilities.chat_form import ChatForm
from triptych_server.capabilities.forms import Inquiry, Place
from triptych_server.capabilities.prompting import Scored
from triptych_server.capabilities.replies import Caption, Captions, Line, Lines
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


EXAMPLES = [Scored("a cat", 0.2), Scored("a red\ncat", 0.31449)]
STRUCTURED = replace(FORM, structured=True)


def message(asked: Inquiry) -> str:
    """The user's, which is all that is said."""
    prompt = asked.draft.prompt([])
    assert isinstance(prompt, ChatPrompt)
    [only] = prompt.messages
    [text] = only.parts
    assert isinstance(text, Text)
    assert only.speaker is USER
    return text.text


def test_proposal_is_asked_for_with_scored_texts_worst_first() -> None:
    told = message(FORM.proposals(EXAMPLES, "in rhymes"))
    assert "\n0.200 a cat\n0.314 a red cat\n" in told
    assert "igher score is better" in told
    assert told.index("in rhymes") < told.index("0.200")


def test_what_stays_the_same_stands_first() -> None:
    """So that a server computes it once."""
    first = message(FORM.proposals(EXAMPLES, "in rhymes"))
    second = message(FORM.proposals([Scored("a dog", 0.9)], "in rhymes"))
    assert second.startswith(first[: first.index("0.200 a cat")])


def test_without_texts_the_first_one_is_asked_for() -> None:
    assert "None was tried" in message(FORM.proposals([]))
    assert "0." not in message(FORM.proposals([]))


def test_replies_are_json_where_the_server_makes_them_so() -> None:
    assert FORM.proposals([]).reply == Line()
    assert FORM.proposals([], together=8).reply == Lines(8)
    assert STRUCTURED.proposals([]).reply == Caption()
    several = STRUCTURED.proposals([], together=8)
    assert several.reply == Captions(8)
    assert '{"captions": [' in message(several)
    assert " 8 " in message(several)
    assert '{"caption": ' in message(STRUCTURED.subject("dog"))


def test_subject_and_guidance_are_told() -> None:
    told = message(FORM.subject("striped\nred star", "in rhymes"))
    assert told.endswith("striped red star")
    assert "in rhymes" in told


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_captions_add_no_lines(caption: str) -> None:
    lines = message(FORM.proposals([Scored("a", 0), Scored(caption, 1), Scored("b", 1)]))
    plain = message(FORM.proposals([Scored("a", 0), Scored("a cat", 1), Scored("b", 1)]))
    assert len(lines.splitlines()) == len(plain.splitlines())
