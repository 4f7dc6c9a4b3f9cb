"""Beam search with a length penalty, as transformers does it with `early_stopping=False`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import Finish, Sampling
from triptych_server.engines.generators.sampling import (
    Constraints,
    Floats,
    log_normalizers,
    not_finite,
)
from triptych_server.errors import Internal

Ends = Callable[[Sequence[int]], Finish | None]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text of the search.

    `total` is the sum by which texts compare, after constraints; `log_probability` that of the raw
    log-probabilities. `score` is `total` with the length penalty, once the text is finished.
    """

    tokens: tuple[int, ...] = ()
    total: float = 0.0
    log_probability: float = 0.0
    score: float = 0.0
    finish: Finish | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """What the network computes next: row i is what row `parents[i]` was, and `tokens[i]`."""

    parents: Sequence[int]
    tokens: Sequence[int]


class BeamSearch:
    """One search over `sampling.beams` hypotheses. `ends` tells whether tokens are a whole text."""

    def __init__(
        self, sampling: Sampling, end_ids: Sequence[int], prompt_ids: Sequence[int], ends: Ends
    ) -> None:
        self._beams = sampling.beams
        self._max_tokens = sampling.max_tokens
        self._penalty = sampling.length_penalty
        self._constraints = Constraints(sampling, end_ids, prompt_ids)
        # So many candidates that the running beams are full again when all others end.
        self._candidates = max(2, 1 + len(end_ids)) * sampling.beams
        self._ends = ends
        self._running = [Hypothesis()]
        self._finished: list[Hypothesis] = []

    @property
    def best(self) -> Sequence[Hypothesis]:
        """Finished hypotheses, best first; final once `advance` gives None."""
        return self._finished

    def advance(self, logits: Floats) -> Extension | None:
        """Extend each running hypothesis, given its row of `logits` `[rows, V]`; None at the end.

        Raises `Internal` when logits are not finite or no token is possible.
        """
        normalizers = log_normalizers(logits)
        if not np.isfinite(normalizers).all():
            raise not_finite()
        raw = logits - normalizers[:, None]
        scores = np.stack(
            [
                self._constraints.apply(row, hypothesis.tokens) + np.float32(hypothesis.total)
                for row, hypothesis in zip(raw, self._running, strict=True)
            ]
        )
        running, parents = self._select(raw, scores)
        if not running and not self._finished:
            raise Internal("no token is possible", reason="GENERATOR_FAILED")
        self._running = running
        length = len(running[0].tokens) if running else self._max_tokens
        if length == self._max_tokens or self._cannot_improve(length):
            return None
        return Extension(parents, [hypothesis.tokens[-1] for hypothesis in running])

    def _select(self, raw: Floats, scores: Floats) -> tuple[list[Hypothesis], list[int]]:
        """The next running hypotheses and their parents; those that end become finished ones."""
        running: list[Hypothesis] = []
        parents: list[int] = []
        for rank, place in enumerate(_largest(scores.ravel(), self._candidates)):
            parent, token = divmod(int(place), scores.shape[1])
            old = self._running[parent]
            tokens = (*old.tokens, token)
            total = float(scores[parent, token])
            log_probability = old.log_probability + float(raw[parent, token])
            finish = self._ends(tokens)
            if finish is None and len(tokens) == self._max_tokens:
                finish = Finish.LENGTH
            if finish is None and len(running) < self._beams:
                running.append(Hypothesis(tokens, total, log_probability))
                parents.append(parent)
            elif finish and rank < self._beams:  # one that ends below them is given up
                score = total / len(tokens) ** self._penalty
                self._finished.append(Hypothesis(tokens, total, log_probability, score, finish))
        self._finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self._finished[self._beams :]
        return running, parents

    def _cannot_improve(self, length: int) -> bool:
        """No running hypothesis, at its present length, beats the worst finished one."""
        best = self._running[0].total / length**self._penalty
        return len(self._finished) == self._beams and best <= self._finished[-1].score


def _largest(values: Floats, count: int) -> npt.NDArray[np.int64]:
    """Places of the `count` largest possible values, largest first."""
    count = min(count, len(values))
    places = np.argpartition(values, -count)[-count:]
    places = places[np.argsort(-values[places], kind="stable")]
    return places[values[places] > -np.inf]
