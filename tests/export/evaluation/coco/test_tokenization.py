"""Splitting sentences: the approximate tokenizer by its rules, and against Stanford's."""

import pytest

from triptych_export.evaluation.coco.java import has_java
from triptych_export.evaluation.coco.tokenization import (
    Tokenizer,
    available_tokenizer,
    tokenize,
)

SENTENCES = {
    "A man can't ride; it's a horse-drawn cart, isn't it?": (
        "a man ca n't ride it 's a horse-drawn cart is n't it"
    ),
    'A t-shirt/vest (blue) on "the" bed... and a 50% off sign.': (
        "a t-shirt/vest -lrb- blue -rrb- on the bed and a 50 % off sign"
    ),
    "The girl's dog and the dogs' toys - all 1,000 of them!": (
        "the girl 's dog and the dogs toys all 1,000 of them"
    ),
    "It cannot be 3:30 p.m. at the U.S. embassy": "it can not be 3:30 p.m. at the u.s. embassy",
    "A dog. A cat.\nAnd a\r\nbird": "a dog a cat and a bird",
    "Mr. Smith's $10 bill & a #1 mug": "mr. smith 's $ 10 bill & a # 1 mug",
    "a 3.5 inch pizza, they\u2019re gonna eat it": "a 3.5 inch pizza they 're gon na eat it",
    "caf\u00e9 \u2014 \u201cquoted\u201d text": "caf\u00e9 quoted text",
    "two men:one sits; another stands": "two men one sits another stands",
    "O'Brien's pub": "o'brien 's pub",
    "": "",
    "...": "",
}


def test_approximate_tokens() -> None:
    assert tokenize(list(SENTENCES), Tokenizer.APPROXIMATE) == list(SENTENCES.values())


@pytest.mark.skipif(not has_java(), reason="there is no Java")
def test_stanford_tokens_are_the_same() -> None:
    assert tokenize(list(SENTENCES), Tokenizer.PTB) == list(SENTENCES.values())


def test_stanford_is_chosen_where_java_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_tokenizer() is (Tokenizer.PTB if has_java() else Tokenizer.APPROXIMATE)
    monkeypatch.setenv("PATH", "")
    assert available_tokenizer() is Tokenizer.APPROXIMATE
