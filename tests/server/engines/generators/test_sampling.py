"""The choice of tokens, against the processors and warpers of transformers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.sampling import (
    Chooser,
    Constraints,
    draw,
    draw_all,
    forbid,
    keep_top_k,
    keep_top_p,
    log_normalizers,
    penalize,
    probabilities,
)

VOCABULARY = 60
NOTHING_YET = torch.zeros((1, 0), dtype=torch.int64)

seeds = st.integers(0, 2**32 - 1)
temperatures = st.floats(0.05, 2)
penalties = st.floats(0.1, 10)
tokens = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20)


def random_logits(seed: int) -> np.ndarray:
    """All different, some tokens much likelier than others."""
    return np.random.default_rng(seed).normal(0, 4, VOCABULARY)


def by_transformers(processor: object, ids: object, logits: np.ndarray) -> np.ndarray:
    ids = torch.as_tensor(ids, dtype=torch.int64).reshape(1, -1)
    return processor(ids, torch.tensor(logits)[None])[0].numpy()


@given(seeds, st.integers(1, VOCABULARY + 5))
def test_top_k_is_that_of_transformers(seed: int, k: int) -> None:
    logits = random_logits(seed)
    wanted = by_transformers(TopKLogitsWarper(k), NOTHING_YET, logits)
    np.testing.assert_array_equal(keep_top_k(logits, k), wanted)


@given(seeds, st.floats(0.001, 0.999))
def test_top_p_is_that_of_transformers(seed: int, p: float) -> None:
    logits = random_logits(seed)
    wanted = by_transformers(TopPLogitsWarper(p), NOTHING_YET, logits)
    np.testing.assert_array_equal(keep_top_p(logits, p), wanted)


@given(seeds, tokens, penalties)
def test_the_repetition_penalty_is_that_of_transformers(
    seed: int, seen: list[int], penalty: float
) -> None:
    logits = random_logits(seed)
    wanted = by_transformers(RepetitionPenaltyLogitsProcessor(penalty), seen, logits)
    np.testing.assert_array_equal(penalize(logits, np.array(seen), penalty), wanted)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_penalty_next_to_zero_prefers_what_was_said(temperature: float) -> None:
    logits = np.array([2, 1, 3, -3], np.float32)
    sampling = Sampling(max_tokens=9, temperature=temperature, repetition_penalty=1e-40)
    chooser = Chooser(sampling, 0, [], [1])
    assert chooser.choose(logits, 2, []) == 1


@given(seeds, tokens)
def test_forbidden_tokens_are_those_of_a_minimal_length(seed: int, ends: list[int]) -> None:
    logits = random_logits(seed)
    wanted = by_transformers(MinNewTokensLengthLogitsProcessor(0, 1, ends), NOTHING_YET, logits)
    np.testing.assert_array_equal(forbid(logits, np.array(ends)), wanted)


@given(
    seeds,
    temperatures,
    st.integers(0, VOCABULARY),
    st.floats(0.1, 1),
    penalties,
    st.integers(0, 4),
    tokens,
)
def test_the_distribution_is_that_of_transformers(
    seed: int, temperature: float, k: int, p: float, penalty: float, least: int, prompt: list[int]
) -> None:
    logits, generated, end = random_logits(seed), [3, 1, 4], 2
    processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty)])
    processors.append(MinNewTokensLengthLogitsProcessor(len(prompt), least, [end]))
    processors.append(TemperatureLogitsWarper(temperature))
    if k:
        processors.append(TopKLogitsWarper(k))
    if p < 1:
        processors.append(TopPLogitsWarper(p))
    kept = by_transformers(processors, [*prompt, *generated], logits)
    wanted = torch.tensor(kept).softmax(-1).numpy()

    sampling = Sampling(
        max_tokens=9,
        min_tokens=least,
        temperature=temperature,
        top_k=k,
        top_p=p,
        repetition_penalty=penalty,
    )
    constrained = Constraints(sampling, [end], prompt).apply(logits, generated)
    got = probabilities(Chooser(sampling, 0, [end], prompt).filter(constrained))
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@given(seeds)
def test_normalizers_make_logits_log_probabilities(seed: int) -> None:
    logits = np.stack([random_logits(seed), 100 + random_logits(seed + 1)]).astype(np.float32)
    wanted = torch.tensor(logits).log_softmax(-1).numpy()
    got = logits - log_normalizers(logits)[:, None]
    np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_shows_in_its_own_normalizer(bad: float) -> None:
    logits = np.zeros((3, VOCABULARY), np.float32)
    logits[1, 5] = bad
    assert np.isfinite(log_normalizers(logits)).tolist() == [True, False, True]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = np.log(np.array([0.5, 0.0, 0.2, 0.3]) + 1e-300)
    logits[1] = -np.inf
    points = (np.arange(1000) + 0.5) / 1000
    drawn = [draw(logits, point) for point in points]
    assert np.bincount(drawn).tolist() == [500, 0, 200, 300]


@given(seeds, st.floats(0, 1, exclude_max=True))
def test_what_is_impossible_is_never_drawn(seed: int, point: float) -> None:
    possible = np.random.default_rng(seed).integers(0, VOCABULARY, 3)
    logits = np.full(VOCABULARY, -np.inf)
    logits[possible] = random_logits(seed)[possible]
    assert draw(logits, point) in possible


def test_rows_are_drawn_together_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (64, 50)).astype(np.float32)
    logits[5, :49] = -np.inf
    samplings = [Sampling(max_tokens=9, temperature=t, seed=1) for t in rng.uniform(0.1, 2, 64)]
    draws = [Chooser(sampling, index, [], []).draw(0) for index, sampling in enumerate(samplings)]
    alone = [
        Chooser(sampling, index, [], []).choose(row, 0, [])
        for index, (sampling, row) in enumerate(zip(samplings, logits, strict=True))
    ]
    assert draw_all(logits, [each for each in draws if each]) == alone
    broken = np.concatenate([logits[:7], np.full((1, 50), np.nan, np.float32), logits[8:]])
    kept = draw_all(broken, [each for each in draws if each])
    assert kept[:7] + kept[8:] == alone[:7] + alone[8:]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=9),
        Sampling(max_tokens=9, temperature=1, top_k=3),
        Sampling(max_tokens=9, temperature=1, top_p=0.9),
        Sampling(max_tokens=9, temperature=1, repetition_penalty=1.1),
        Sampling(max_tokens=9, temperature=1, min_tokens=2),
    ],
)
def test_what_shapes_a_distribution_keeps_a_row_to_itself(sampling: Sampling) -> None:
    assert Chooser(sampling, 0, [], []).draw(1) is None


def test_rounding_errors_hardly_ever_change_what_is_drawn() -> None:
    random = np.random.default_rng(0)
    equal = 0
    for seed in range(2000):
        logits, point = random_logits(seed), random.random()
        noisy = logits + random.normal(0, 1e-5, VOCABULARY)
        equal += draw(logits, point) == draw(noisy, point)
    assert equal >= 1998


def test_equal_seeds_choose_alike_and_others_do_not() -> None:
    sampling = Sampling(max_tokens=9, temperature=1, seed=2**64 - 1)

    def chosen(sampling: Sampling, index: int) -> list[int]:
        chooser = Chooser(sampling, index, [], [])
        return [chooser.choose(random_logits(step), 0, []) for step in range(20)]

    assert chosen(sampling, 0) == chosen(sampling, 0)
    others = [chosen(sampling, 1), chosen(replace(sampling, seed=5), 0)]
    assert chosen(sampling, 0) not in others
    unseeded = replace(sampling, seed=None)
    assert chosen(unseeded, 0) != chosen(unseeded, 0)


@pytest.mark.parametrize("temperature", [1e-30, 5e-324])
def test_the_least_temperatures_are_greedy(temperature: float) -> None:
    chooser = Chooser(Sampling(max_tokens=9, temperature=temperature), 0, [], [])
    for seed in range(20):
        logits = random_logits(seed).astype(np.float32)
        assert chooser.choose(logits, -1, []) == logits.argmax()
