"""Replies are read strictly, whatever a model writes."""

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triptych_server.capabilities.replies import (
    LONGEST_TEXT,
    Caption,
    Captions,
    Line,
    Lines,
    Reply,
)

# Of everything that a string may hold, halves of characters included.
ANYTHING = st.text(st.characters(exclude_categories=[]), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=6,
)
REPLIES: list[Reply] = [Line(), Line("a dog"), Lines(3), Caption(), Captions(3)]
CONTROLS = ["a\nb", "a\rb", "a\tb", "a\0b", "a\x1bb", "a\x85b", "a\u2028b", "a\u2029b", "a\ud800b"]


def assert_usable(text: str) -> None:
    assert 0 < len(text) <= LONGEST_TEXT
    assert text == " ".join(text.split())
    assert {unicodedata.category(each) for each in text}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    text.encode()


@pytest.mark.parametrize("reply", REPLIES, ids=repr)
@given(written=ANYTHING | JSON.map(json.dumps))
def test_whatever_is_written_gives_usable_texts_or_none(reply: Reply, written: str) -> None:
    texts = reply.read(written)
    assert 1 <= len(texts) <= reply.most
    for text in texts:
        if text is not None:
            assert_usable(text)


@given(JSON)
@example({"caption": "a"})
@example({"caption": {"caption": "a"}})
@example({"caption": "a", "score": 1})
@example(["caption", "a"])
@example([["caption", "a"]])
def test_only_a_caption_and_nothing_else_is_one(content: object) -> None:
    [text] = Caption().read(json.dumps(content))
    is_one = isinstance(content, dict) and set(content) == {"caption"}
    if text is not None:
        assert is_one
    if is_one and isinstance(content["caption"], str) and content["caption"].isalnum():
        assert text == content["caption"]


@given(
    st.text("ab é中🙂'\"{}[]:,", min_size=1).filter(str.strip), st.sampled_from(["", " ", "\n\t"])
)
def test_captions_in_json_come_back(text: str, space: str) -> None:
    usable = " ".join(text.split())
    for ascii_alone in (True, False):
        written = json.dumps({"caption": text}, ensure_ascii=ascii_alone)
        assert Caption().read(f"{space}{written}{space}") == [usable]
        listed = json.dumps({"captions": [text, 1, text]}, ensure_ascii=ascii_alone)
        assert Captions(8).read(listed) == [usable, None, usable]
    assert Line().read(f" {text}") == [usable]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "a dog",
        '"a dog"',
        "null",
        '{"caption": "a dog"',
        '{"caption": "a dog"} and more',
        '{"caption": "a dog"}{"caption": "a cat"}',
        '{"caption": "a dog", "caption": "a cat"}',
        '{"caption": "a dog", "caption": "a dog"}',
        '{"Caption": "a dog"}',
        '{"caption": ["a dog"]}',
        '{"caption": NaN}',
        '{"caption": ""}',
        '{"caption": " \\n "}',
        '{"caption": "a\\ndog"}',
        '{"caption": "half \\ud800 a character"}',
        '```json\n{"caption": "a dog"}\n```',
        "\ufeff" + '{"caption": "a dog"}',
        '{"caption": ' * 100_000,
        "[" * 10_000,
        '{"caption": ' + "9" * 10_000 + "}",
        json.dumps({"caption": "x" * 10**7}),
        json.dumps({"caption": "x" * (LONGEST_TEXT + 1)}),
    ],
    ids=lambda written: written[:40],
)
def test_what_is_not_exactly_a_caption_is_not_understood(written: str) -> None:
    assert Caption().read(written) == [None]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        '{"captions": []}',
        '{"captions": "a dog"}',
        '{"captions": {"a": "b"}}',
        '{"captions": ["a"], "captions": ["b"]}',
        '{"captions": ["a dog", "a ca',
    ],
)
def test_what_is_no_list_of_captions_is_one_reply_not_understood(written: str) -> None:
    assert Captions(3).read(written) == [None]


def test_the_longest_text_is_understood_however_it_is_written() -> None:
    longest = "🙂" * LONGEST_TEXT
    for written in (json.dumps({"caption": longest}), f'{{"caption": "{longest}"}}'):
        assert Caption().read(written) == [longest]


@pytest.mark.parametrize("text", CONTROLS)
def test_controls_within_a_text_are_not_understood(text: str) -> None:
    assert Line().read(text) == [None]
    assert Caption().read(json.dumps({"caption": text})) == [None]
    assert Captions(2).read(json.dumps({"captions": [text, "a dog"]})) == [None, "a dog"]


def test_line_goes_on_after_its_beginning() -> None:
    assert Line("a dog").read(" on a lawn ") == ["a dog on a lawn"]
    assert Line("a dog").read("s") == ["a dogs"]
    assert Line("a dog").read("") == ["a dog"]


def test_lines_are_texts_and_empty_ones_nothing() -> None:
    assert Lines(9).read("\na dog\n\n  a cat \r\nx\0y\n") == ["a dog", "a cat", None]
    assert Lines(1).read("a dog\na cat") == ["a dog"]
    assert Lines(2).read(" \n ") == [None]


def test_no_more_texts_are_read_than_asked_for() -> None:
    assert Captions(2).read('{"captions": ["a", "b", "c"]}') == ["a", "b"]


@pytest.mark.parametrize(("reply", "key"), [(Caption(), "caption"), (Captions(3), "captions")])
def test_structure_is_the_json_that_is_read(reply: Caption | Captions, key: str) -> None:
    schema = json.loads(reply.structure.schema)
    assert (schema["required"], schema["additionalProperties"]) == ([key], False)
    assert set(schema["properties"]) == {key}
