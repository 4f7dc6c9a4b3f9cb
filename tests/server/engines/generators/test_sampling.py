"""The choice of tokens, against the processors and warpers of transformers."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import example, given
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
    Dice,
    draw,
    draw_all,
    forbid,
    keep_top_k,
    keep_top_p,
    log_normalizers,
    penalize,
    probabilities,
    scale,
    shaped,
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
    [got] = probabilities(shaped(constrained[None], [Dice(sampling, 0)]))
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
    drawn = [draw(scale(logits, 1), point) for point in points]
    assert np.bincount(drawn).tolist() == [500, 0, 200, 300]


@given(seeds, st.floats(0, 1, exclude_max=True))
@example(0, 0.0)
@example(0, np.nextafter(1.0, 0.0))
def test_what_is_impossible_is_never_drawn(seed: int, point: float) -> None:
    possible = np.random.default_rng(seed).integers(0, VOCABULARY, 3)
    logits = np.full(VOCABULARY, -np.inf)
    logits[possible] = random_logits(seed)[possible]
    assert draw(scale(logits, 1), point) in possible


def various(count: int) -> list[Sampling]:
    """Of all temperatures and filters, and equal seeds."""
    rng = np.random.default_rng(3)
    return [
        Sampling(
            max_tokens=9,
            temperature=rng.uniform(0.1, 2),
            top_k=rng.choice([0, 0, 7]),
            top_p=rng.choice([1, 1, 0.9, 0.5]),
            seed=1,
        )
        for _ in range(count)
    ]


def rolled(samplings: list[Sampling]) -> list[Dice]:
    return [Dice(sampling, index) for index, sampling in enumerate(samplings)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_are_drawn_together_as_each_alone(bad: float) -> None:
    logits = np.random.default_rng(4).normal(0, 3, (64, 50)).astype(np.float32)
    logits[5, :49] = -np.inf
    samplings = various(64)
    alone = [
        Chooser(sampling, index, [], []).choose(row, 0, [])
        for index, (sampling, row) in enumerate(zip(samplings, logits, strict=True))
    ]
    assert draw_all(logits, rolled(samplings)) == alone
    broken = np.arange(3, 64, 9)
    logits[broken] = bad
    among = draw_all(logits, rolled(samplings))
    assert np.delete(among, broken).tolist() == np.delete(alone, broken).tolist()


def test_rows_of_large_vocabularies_are_computed_as_each_alone() -> None:
    logits = np.random.default_rng(5).normal(0, 3, (5, 50_000)).astype(np.float32)
    samplings = various(5)
    alone = [
        draw_all(row[None], [each])[0] for row, each in zip(logits, rolled(samplings), strict=True)
    ]
    assert draw_all(logits, rolled(samplings)) == alone
    normalizers = [log_normalizers(row[None])[0] for row in logits]
    assert log_normalizers(logits).tolist() == normalizers


def test_points_are_those_of_seed_and_index() -> None:
    dice = Dice(Sampling(max_tokens=9, temperature=1, seed=7), 3)
    wanted = np.random.default_rng((7, 3)).random(100).tolist()
    assert list(islice(dice.points, 100)) == wanted


def test_constraints_and_greed_keep_a_row_to_itself() -> None:
    drawn = Sampling(max_tokens=9, temperature=1, top_k=3, top_p=0.9)

    def together(**changes: float) -> bool:
        return Chooser(replace(drawn, **changes), 0, [], []).dice(1) is not None

    assert together()
    assert together(min_tokens=1)
    assert not together(min_tokens=2)
    assert not together(repetition_penalty=1.1)
    assert not together(temperature=0)


def test_rounding_errors_hardly_ever_change_what_is_drawn() -> None:
    random = np.random.default_rng(0)
    equal = 0
    for seed in range(2000):
        logits, point = random_logits(seed), random.random()
        noisy = logits + random.normal(0, 1e-5, VOCABULARY)
        equal += draw(scale(logits, 1), point) == draw(scale(noisy, 1), point)
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
