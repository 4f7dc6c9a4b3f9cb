"""How the next token is chosen, in numpy.

The functions take and give logits (or log-probabilities) `[..., V]` float32 or float64 and follow
the semantics of transformers' logits processors and warpers, in its order: repetition penalty,
minimal length, temperature, top-k, top-p.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import Internal

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Logits = TypeVar("Logits", Floats, Doubles)
Ids = npt.NDArray[np.int64]

# Numbers that are computed with together. As doubles they take 1 MiB, which a core's own cache
# holds: more would wait for memory, and fewer would be more calls, each of which takes its time.
_TOGETHER = 2**17


def log_normalizers(logits: Logits) -> Logits:
    """`[R]` for logits `[R, V]`: a token's log-probability is its logit less this. Not finite if
    logits are not."""
    normalizers = np.empty(len(logits), logits.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for part in _parts(logits):
            largest = logits[part].max(-1, keepdims=True)
            below = logits[part] - largest
            normalizers[part] = largest[:, 0] + np.log(np.exp(below, out=below).sum(-1))
    return normalizers


def _parts(logits: Logits) -> Iterator[slice]:
    """The rows of `[R, V]`, as many at a time as are computed with together."""
    rows = max(1, _TOGETHER // logits.shape[-1])
    return (slice(start, start + rows) for start in range(0, len(logits), rows))


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


def keep_top_p(logits: Logits, p: float | Doubles) -> Logits:
    """Make all impossible but the fewest likeliest tokens whose probabilities reach `p`, or in each
    row its own `[..., 1]`; those equal to the last of them stay (nucleus sampling, arXiv
    1904.09751)."""
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


def draw(scaled: Doubles, points: Doubles | float) -> npt.NDArray[np.intp]:
    """The tokens `[...]` at `points` `[...]` of the distributions that `scaled` `[..., V]` gives,
    0 <= point < 1. The largest of each must be 0, as `scale` leaves it; they are overwritten.

    Tokens lie side by side in the order of their ids, so that rounding errors in the logits, which
    differ from batch to batch, change the choice only when a point is at the very edge of a token.
    """
    edges = np.exp(scaled, out=scaled)
    np.cumsum(edges, -1, out=edges)
    places = np.asarray(points)[..., None] * edges[..., -1:]  # rounded, still below the last edge
    drawn: npt.NDArray[np.intp] = (edges > places).argmax(-1)
    return drawn


class Dice:
    """How the tokens of one text are drawn, the `index`-th of its request: at which temperature, of
    how many of them, and at which points, which depend on `(seed, index)` alone."""

    def __init__(self, sampling: Sampling, index: int) -> None:
        self.temperature = sampling.temperature
        self.top_k = sampling.top_k
        self.top_p = sampling.top_p
        seed = None if sampling.seed is None else (sampling.seed, index)
        self.points = _points(seed)


def _points(seed: tuple[int, int] | None) -> Iterator[float]:
    """Random numbers, 0 <= number < 1, made many at a time because each call takes its time."""
    random = np.random.default_rng(seed)
    while True:
        yield from random.random(32).tolist()


def draw_all(logits: Floats, dice: Sequence[Dice]) -> list[int]:
    """The tokens of rows of logits `[R, V]`, all at once. A row that is not finite has any."""
    tokens: list[int] = []
    with np.errstate(invalid="ignore"):
        for part in _parts(logits):
            points = np.array([next(each.points) for each in dice[part]])
            tokens += draw(shaped(logits[part], dice[part]), points).tolist()
    return tokens


def shaped(logits: Logits, dice: Sequence[Dice]) -> Doubles:
    """Logits `[R, V]` scaled by the temperatures of their dice, of the tokens that may be drawn."""
    temperatures = np.array([each.temperature for each in dice])
    scaled = scale(logits, temperatures[:, None])
    for place, each in enumerate(dice):
        if each.top_k:
            scaled[place] = keep_top_k(scaled[place], each.top_k)
    nuclei = [place for place, each in enumerate(dice) if each.top_p < 1]
    if nuclei:
        top_ps = np.array([dice[place].top_p for place in nuclei])
        scaled[nuclei] = keep_top_p(scaled[nuclei], top_ps[:, None])
    return scaled


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
        self._constraints = Constraints(sampling, end_ids, prompt_ids)
        self._dice = Dice(sampling, index) if sampling.temperature else None

    def dice(self, generated: int) -> Dice | None:
        """What `draw_all` takes in place of `choose` after so many tokens, if it draws and no
        constraint holds."""
        return None if self._constraints.hold(generated) else self._dice

    def choose(self, logits: Floats, likeliest: int, generated: Sequence[int]) -> int:
        """The token after `generated`, given `logits` `[V]` and the likeliest token by them."""
        constrained = self._constraints.apply(logits, generated)
        if self._dice is not None:
            return draw_all(constrained[None], [self._dice])[0]
        return likeliest if constrained is logits else int(constrained.argmax())
