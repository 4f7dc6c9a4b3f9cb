"""Beam search over a small language of its own, against trying everything."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.engines.generators.beams import BeamSearch, Hypothesis
from triptych_server.engines.generators.protocol import Finish, Sampling
from triptych_server.errors import Internal

VOCABULARY, LONGEST, END = 4, 4, 0
EVERYTHING = VOCABULARY**LONGEST

seeds = st.integers(0, 2**32 - 1)


def logits_after(seed: int, tokens: Sequence[int]) -> np.ndarray:
    return np.random.default_rng([seed, len(tokens), *tokens]).normal(0, 2, VOCABULARY)


def ends(tokens: Sequence[int]) -> Finish | None:
    return Finish.STOP if tokens[-1] == END else None


def search(seed: int, sampling: Sampling) -> Sequence[Hypothesis]:
    """Run a search, with the texts themselves in place of a network's cache."""
    beams = BeamSearch(sampling, [END], [], ends)
    texts: list[tuple[int, ...]] = [()]
    while True:
        logits = np.stack([logits_after(seed, text) for text in texts]).astype(np.float32)
        extension = beams.advance(logits)
        if extension is None:
            return beams.best
        pairs = zip(extension.parents, extension.tokens, strict=True)
        texts = [(*texts[parent], token) for parent, token in pairs]


def all_texts() -> Iterator[tuple[int, ...]]:
    for length in range(1, LONGEST + 1):
        for tokens in product(range(VOCABULARY), repeat=length):
            whole = tokens[-1] == END or length == LONGEST
            if whole and END not in tokens[:-1]:
                yield tokens


def log_probability(seed: int, tokens: Sequence[int]) -> float:
    total = 0.0
    for place, token in enumerate(tokens):
        logits = logits_after(seed, tokens[:place])
        total += logits[token] - np.log(np.exp(logits).sum())
    return total


@given(seeds)
def test_a_search_that_keeps_everything_finds_the_best_texts(seed: int) -> None:
    sampling = Sampling(max_tokens=LONGEST, beams=EVERYTHING, n=5, length_penalty=0)
    found = search(seed, sampling)[:5]
    wanted = sorted(all_texts(), key=lambda tokens: -log_probability(seed, tokens))[:5]
    assert [each.tokens for each in found] == wanted
    np.testing.assert_allclose(
        [each.log_probability for each in found],
        [log_probability(seed, tokens) for tokens in wanted],
        atol=1e-4,
    )


@given(seeds, st.integers(1, 4), st.floats(-3, 3))
def test_texts_come_best_first_by_their_penalised_score(
    seed: int, beams: int, penalty: float
) -> None:
    found = search(seed, Sampling(max_tokens=LONGEST, beams=beams, length_penalty=penalty))
    assert 1 <= len(found) <= beams
    assert len({each.tokens for each in found}) == len(found)
    scores = [log_probability(seed, each.tokens) / len(each.tokens) ** penalty for each in found]
    np.testing.assert_allclose([each.score for each in found], scores, rtol=1e-3)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


@given(seeds, st.integers(1, LONGEST))
def test_no_text_ends_before_its_least_length(seed: int, least: int) -> None:
    sampling = Sampling(max_tokens=LONGEST, min_tokens=least, beams=3)
    for each in search(seed, sampling):
        assert len(each.tokens) > least or len(each.tokens) == LONGEST
        assert (each.finish is Finish.STOP) == (each.tokens[-1] == END)


def test_a_search_ends_when_every_candidate_does() -> None:
    beams = BeamSearch(Sampling(max_tokens=9, beams=2), [END], [], lambda _: Finish.STOP)
    assert beams.advance(np.array([[0, 3, 1, 2]], np.float32)) is None
    assert [each.tokens for each in beams.best] == [(1,), (3,)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_internal_error(bad: float) -> None:
    beams = BeamSearch(Sampling(max_tokens=9, beams=2), [END], [], ends)
    with pytest.raises(Internal):
        beams.advance(np.array([[0, bad, 1, 2]], np.float32))
