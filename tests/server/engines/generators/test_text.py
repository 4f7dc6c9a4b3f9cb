"""Text while its tokens come, against the decoding of all of them."""

from collections.abc import Sequence

import pytest
from generators import tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from triptych_server.engines.generators.text import GeneratorTokenizer, TextStream, find_stop


def byte_fallback() -> Tokenizer:
    """A vocabulary of few letters, and bytes for all others, as Llama's."""
    vocabulary = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁aé中 "]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def loaded(tokenizer: Tokenizer) -> GeneratorTokenizer:
    return GeneratorTokenizer(tokenizer.to_str().encode())


TOKENIZER = loaded(tiny_tokenizer().backend_tokenizer)
SIZE = tiny_tokenizer().backend_tokenizer.get_vocab_size()
BYTE_FALLBACK = loaded(byte_fallback())

# Tokens of texts, cut anywhere and mixed with any others: broken characters among whole ones.
texts = st.text("aé中😀 \n�", max_size=12)
anything = st.lists(st.integers(0, SIZE + 3), max_size=12)
pieces = st.tuples(texts.map(TOKENIZER.encode), st.integers(0, 60))
tokens = st.lists(pieces.map(lambda piece: piece[0][: piece[1]]) | anything, max_size=6).map(
    lambda lists: [token for each in lists for token in each]
)
stops = st.lists(st.text("aé中 ", min_size=1, max_size=3), max_size=3)


def streamed(stream: TextStream, ids: Sequence[int]) -> list[str]:
    given = []
    for token in ids:
        given.append(stream.push(token))
        if stream.stopped:
            break
    return [*given, stream.finish()]


def cut(text: str, stops: Sequence[str]) -> str:
    """Before the stop string that is complete first, the longest of several."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(tokens)
def test_pieces_join_to_the_decoding_of_all_tokens(ids: list[int]) -> None:
    for tokenizer in (TOKENIZER, BYTE_FALLBACK):
        assert "".join(streamed(tokenizer.stream(), ids)) == tokenizer.decode(ids)


@given(st.text("aé中😀"))
def test_bytes_of_rare_characters_become_whole_ones(text: str) -> None:
    pieces = streamed(BYTE_FALLBACK.stream(), BYTE_FALLBACK.encode(text))
    assert "".join(pieces) == text


@given(st.text("aé中😀 "))
def test_pieces_of_a_text_are_whole_characters(text: str) -> None:
    stream = TOKENIZER.stream()
    given = [stream.push(token) for token in TOKENIZER.encode(text)]
    assert "".join(given) == text
    assert stream.finish() == ""


@given(tokens, stops)
def test_text_ends_before_the_first_stop_string(ids: list[int], stops: list[str]) -> None:
    stream = TOKENIZER.stream(stops)
    whole = TOKENIZER.decode(ids)
    assert "".join(streamed(stream, ids)) == cut(whole, stops)
    assert stream.stopped == any(stop in whole for stop in stops)


@given(tokens, stops)
def test_a_whole_text_is_that_of_its_pieces(ids: list[int], stops: list[str]) -> None:
    for tokenizer in (TOKENIZER, BYTE_FALLBACK):
        pieces, whole = tokenizer.stream(stops), tokenizer.stream(stops, whole=True)
        assert "".join(streamed(whole, ids)) == "".join(streamed(pieces, ids))
        assert whole.stopped == pieces.stopped


def test_a_whole_text_without_stop_strings_comes_at_its_end() -> None:
    *before, last = streamed(TOKENIZER.stream(whole=True), TOKENIZER.encode("a b"))
    assert not any(before)
    assert last == "a b"


@given(st.text("ab", max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_stop_string_that_is_complete_first_counts(text: str, stops: list[str]) -> None:
    place = find_stop(text, stops)
    assert (text if place is None else text[:place]) == cut(text, stops)


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    stream = TOKENIZER.stream(["END", "NO"])
    given = [stream.push(token) for letter in "a EN b N" for token in TOKENIZER.encode(letter)]
    assert given == ["a", " ", "", "", "EN ", "b", " ", ""]
    assert stream.finish() == "N"


def test_special_tokens_are_no_text() -> None:
    ids = [2, *TOKENIZER.encode("a"), 1, 2, *TOKENIZER.encode("b"), SIZE - 1]
    assert "".join(streamed(TOKENIZER.stream(), ids)) == "ab"


@pytest.mark.parametrize("text", ["</s>", "<image>", "a </s> b<pad>", " <unk>"])
def test_what_looks_special_is_encoded_as_its_characters(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert not {0, 1, 2, 3, SIZE - 1}.intersection(ids)
    assert TOKENIZER.decode(ids) == text


def test_long_texts_are_not_cut() -> None:
    assert len(TOKENIZER.encode("中" * 5000)) >= 5000


@pytest.mark.parametrize("definition", [b"", b"{}", b"\xff"])
def test_what_is_no_tokenizer_is_refused(definition: bytes) -> None:
    with pytest.raises(ValueError, match="not a tokenizer"):
        GeneratorTokenizer(definition)
