"""How the next token is chosen, in numpy.

The functions take and give logits (or log-probabilities) `[..., V]` float32 or float64 and follow
the semantics of transformers' logits processors and warpers, in its order: repetition penalty,
minimal length, temperature, top-k, top-p.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import Internal

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Logits = TypeVar("Logits", Floats, Doubles)
Ids = npt.NDArray[np.int64]


def log_normalizers(logits: Logits) -> Logits:
    """`[...]`: a token's log-probability is its logit less this. Not finite if logits are not."""
    largest = logits.max(-1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.exp(logits - largest).sum(-1)
    return np.asarray(largest[..., 0] + np.log(sums), logits.dtype)


def not_finite() -> Internal:
    """The error of a row whose logits are not finite: it has no next token."""
    return Internal("the network gave numbers that are not finite", reason="GENERATOR_FAILED")


def penalize(logits: Logits, seen: Ids, penalty: float) -> Logits:
    """Make the tokens `seen` less likely, for a penalty above 1 (arXiv 1909.05858)."""
    penalized = logits.copy()
    chosen = logits[..., seen]
    with np.errstate(over="ignore"):  # of a penalty next to 0
        quotients = np.minimum(chosen / penalty, np.finfo(logits.dtype).max)
    penalized[..., seen] = np.where(chosen < 0, chosen * penalty, quotients)
    return penalized


def forbid(logits: Logits, tokens: Ids) -> Logits:
    """Make `tokens` impossible."""
    masked = logits.copy()
    masked[..., tokens] = -np.inf
    return masked


def scale(logits: Logits, temperature: float | Doubles) -> Doubles:
    """Logits divided by `temperature`, above 0, or each row by its own `[..., 1]`; less the largest
    one, so that none overflows."""
    with np.errstate(over="ignore"):  # to what is impossible
        below: Doubles = (logits - logits.max(-1, keepdims=True)).astype(np.float64)
        below /= temperature
        return below


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Make all but the `k` likeliest tokens impossible; those equal to the last of them stay."""
    if k >= logits.shape[-1]:
        return logits
    least = np.partition(logits, -k)[..., -k, None]
    return np.where(logits < least, -np.inf, logits)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Make all impossible but the fewest likeliest tokens whose probabilities reach `p`; those
    equal to the last of them stay (nucleus sampling, arXiv 1904.09751)."""
    ascending = np.sort(logits)
    reached = np.cumsum(probabilities(ascending), -1)
    dropped = (reached <= 1 - p).sum(-1, keepdims=True)
    last = np.minimum(dropped, logits.shape[-1] - 1)
    least = np.take_along_axis(ascending, last, -1)
    return np.where(logits < least, -np.inf, logits)


def probabilities(logits: Logits) -> Doubles:
    """Softmax, in double precision."""
    likelihoods = np.exp((logits - logits.max(-1, keepdims=True)).astype(np.float64))
    normalized: Doubles = likelihoods / likelihoods.sum(-1, keepdims=True)
    return normalized


def draw(logits: Doubles, points: Doubles | float) -> npt.NDArray[np.intp]:
    """The tokens `[...]` at `points` `[...]` of the distributions that `logits` `[..., V]` give,
    0 <= point < 1.

    Tokens lie side by side in the order of their ids, so that rounding errors in the logits, which
    differ from batch to batch, change the choice only when a point is at the very edge of a token.
    """
    edges = logits - logits.max(-1, keepdims=True)
    np.cumsum(np.exp(edges, out=edges), -1, out=edges)
    whole = edges[..., -1:]
    places = (edges <= np.asarray(points)[..., None] * whole).sum(-1)
    last = (edges < whole).sum(-1)  # that is possible; rounding may lead beyond
    drawn: npt.NDArray[np.intp] = np.minimum(places, last)
    return drawn


class Draw(NamedTuple):
    """To take the token at `point` of what the network says, at a temperature and nothing else."""

    temperature: float
    point: float


def draw_all(logits: Floats, draws: Sequence[Draw]) -> list[int]:
    """The tokens of rows of logits `[R, V]`, all at once. A row that is not finite has any."""
    temperatures = np.array([each.temperature for each in draws])
    points = np.array([each.point for each in draws])
    with np.errstate(invalid="ignore"):
        drawn: list[int] = draw(scale(logits, temperatures[:, None]), points).tolist()
    return drawn


class Constraints:
    """What a text may not or should not say next: `min_tokens` and the repetition penalty."""

    def __init__(
        self, sampling: Sampling, end_ids: Sequence[int], prompt_ids: Sequence[int]
    ) -> None:
        self._min_tokens = sampling.min_tokens
        self._penalty = sampling.repetition_penalty
        self._end_ids = np.array(end_ids, np.int64)
        self._prompt_ids = np.array(prompt_ids, np.int64)

    def hold(self, generated: int) -> bool:
        """Whether any applies after so many tokens."""
        return self._penalty != 1 or generated < self._min_tokens

    def apply(self, logits: Logits, generated: Sequence[int]) -> Logits:
        """Constrain `logits` `[V]` after the tokens `generated`; `logits` itself if none apply."""
        if self._penalty != 1:
            seen = np.concatenate([self._prompt_ids, np.array(generated, np.int64)])
            logits = penalize(logits, seen, self._penalty)
        if len(generated) < self._min_tokens:
            logits = forbid(logits, self._end_ids)
        return logits


class Chooser:
    """Chooses the tokens of one text, the `index`-th of its request.

    The choice depends on its own logits alone and, when it draws, on `(seed, index)`: equal ones
    give equal texts whatever else is in the batch.
    """

    def __init__(
        self, sampling: Sampling, index: int, end_ids: Sequence[int], prompt_ids: Sequence[int]
    ) -> None:
        self._sampling = sampling
        self._constraints = Constraints(sampling, end_ids, prompt_ids)
        seed = None if sampling.seed is None else (sampling.seed, index)
        self._random = np.random.default_rng(seed)
        filters = sampling.top_k or sampling.top_p < 1
        self._draws = sampling.temperature > 0 and not filters

    def draw(self, generated: int) -> Draw | None:
        """What replaces `choose` after so many tokens, if it draws and the temperature alone shapes
        what it draws from."""
        if not self._draws or self._constraints.hold(generated):
            return None
        return Draw(self._sampling.temperature, self._random.random())

    def choose(self, logits: Floats, likeliest: int, generated: Sequence[int]) -> int:
        """The token after `generated`, given `logits` `[V]` and the likeliest token by them."""
        constrained = self._constraints.apply(logits, generated)
        if self._sampling.temperature:
            return int(draw(self.filter(constrained), self._random.random()))
        return likeliest if constrained is logits else int(constrained.argmax())

    def filter(self, logits: Logits) -> Doubles:
        """Logits `[V]` divided by the temperature, of the tokens that may be drawn."""
        filtered = scale(logits, self._sampling.temperature)
        if self._sampling.top_k:
            filtered = keep_top_k(filtered, self._sampling.top_k)
        if self._sampling.top_p < 1:
            filtered = keep_top_p(filtered, self._sampling.top_p)
        return filtered
