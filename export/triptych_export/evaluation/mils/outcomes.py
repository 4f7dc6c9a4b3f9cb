"""What became of searches for the captions of pictures, and the figures of many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych_export.miniworld.measures import attribute_f1, exact
from triptych_export.miniworld.world import Scene

CURVE_STEP = 50  # evaluations between two points of a curve


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search: the caption that it found, and what it took.

    `progress` has, of each step, the evaluations until then and the best score; `seeds` are the
    captions that it began with.
    """

    text: str
    progress: tuple[tuple[int, float], ...]
    seeds: tuple[str, ...] = ()
    steps: int = 0
    encoded_texts: int = 0
    known_texts: int = 0
    matched_pairs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def evaluations(self) -> int:
        """Captions scored, seeds not counted."""
        return self.progress[-1][0] if self.progress else 0


@dataclass(frozen=True, slots=True)
class Curve:
    """The best score after so many evaluations, the mean over searches."""

    evaluations: tuple[int, ...]
    best_score: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Of one way of searching: attribute F1 over all captions found and the share that is quite
    right, each a share of 1; what a picture took, the mean; and the curve of the scores."""

    attribute_f1: float
    exact: float
    evaluations: float
    steps: float
    encoded_texts: float
    known_texts: float
    matched_pairs: float
    prompt_tokens: float
    completion_tokens: float
    curve: Curve


def figures_of(outcomes: Sequence[Outcome], scenes: Sequence[Scene]) -> SearchFigures:
    """The figures of one outcome a scene."""
    texts = [outcome.text for outcome in outcomes]
    return SearchFigures(
        attribute_f1(texts, scenes),
        exact(texts, scenes),
        _mean([outcome.evaluations for outcome in outcomes]),
        _mean([outcome.steps for outcome in outcomes]),
        _mean([outcome.encoded_texts for outcome in outcomes]),
        _mean([outcome.known_texts for outcome in outcomes]),
        _mean([outcome.matched_pairs for outcome in outcomes]),
        _mean([outcome.prompt_tokens for outcome in outcomes]),
        _mean([outcome.completion_tokens for outcome in outcomes]),
        curve_of(outcomes),
    )


def curve_of(outcomes: Sequence[Outcome]) -> Curve:
    """The mean of the best scores; a search that ended keeps its last."""
    most = max((outcome.evaluations for outcome in outcomes), default=0)
    points = range(0, most + CURVE_STEP, CURVE_STEP) if most else [0]
    means = [_mean([_best_until(outcome, point) for outcome in outcomes]) for point in points]
    return Curve(tuple(points), tuple(means))


def _best_until(outcome: Outcome, evaluations: int) -> float:
    return max(
        (best for spent, best in outcome.progress if spent <= evaluations),
        default=outcome.progress[0][1] if outcome.progress else float("nan"),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
