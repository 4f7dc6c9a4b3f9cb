"""Texts that grow together by one token a step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych_server.engines.generators.cache import SCRATCH_TOKENS, Cache
from triptych_server.engines.generators.decoder import Decoder, Floats, Ids, Lengths, Run

# Positions in one run of the network, padding included; enough to keep every core busy.
_RUN_POSITIONS = SCRATCH_TOKENS
# Prompts share a run while padding is at most this part of it, or takes no longer than reading the
# weights once more would.
_PADDED_PART = 0.2
_PADDED_FREE = 32


@dataclass(frozen=True, slots=True)
class Beginning:
    """Prompts that are to join a batch: what is to be computed for them, and where they go."""

    places: Sequence[Sequence[int]]
    lengths: Lengths
    groups: Sequence[Sequence[int]]  # of prompts, that of each run
    runs: Sequence[Run]


class DecoderBatch:
    """Texts that grow together by one token a step, each a row with a cache of its own.

    Rows may be free: a step computes them for nothing, at the least cost, until others take their
    places.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._cache = Cache(decoder.spec)
        self._lengths = np.zeros(0, np.int32)  # 0 where a row is free

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Lengths:
        """Tokens that each row holds: `[rows]`; free ones none."""
        return self._lengths.copy()

    def add(self, prompts: Sequence[Floats], places: Sequence[Sequence[int]] = ()) -> Floats:
        """Compute prompts `[L, H]`, each for the rows at its `places`, or one appended row; logits
        `[prompts, V]` of the next tokens.

        Places between the last row and these are free afterwards. Raises what `begin` does.
        """
        beginning = self.begin(prompts, places)
        return self.take(beginning, self._decoder.compute(beginning.runs))

    def begin(self, prompts: Sequence[Floats], places: Sequence[Sequence[int]] = ()) -> Beginning:
        """What is to be computed for `add`, and then given to `take`, before any other begins.

        Prompts of similar length share a run. Raises `ValueError` for a prompt that is empty,
        longer than the context, or not float32 of the hidden size, and for a place that is not
        free.
        """
        if not prompts:
            return Beginning((), np.zeros(0, np.int32), (), ())
        for prompt in prompts:
            self._check(prompt)
        taken = set(np.flatnonzero(self._lengths).tolist())
        if not taken.isdisjoint(place for rows in places for place in rows):
            raise ValueError("a place is not free")
        new = np.array([len(prompt) for prompt in prompts], np.int32)
        places = places or [[row] for row in range(len(self), len(self) + len(new))]
        groups = _groups(new)
        shapes = [(len(group), int(new[group].max())) for group in groups]
        runs = []
        # Not in the batch's own buffers: the network's scores take rows x heads x length x room
        # numbers, and a neighbour may need far more room than these prompts.
        for group, shape, cache in zip(groups, shapes, self._cache.prompts(shapes), strict=True):
            padded = np.zeros((*shape, self._decoder.spec.hidden_size), np.float32)
            for row, index in enumerate(group):
                padded[row, : new[index]] = prompts[index]
            positions = np.tile(np.arange(shape[1]), (len(group), 1))
            runs.append(Run(padded, positions, new[group], cache))
        return Beginning(places, new, groups, runs)

    def take(self, beginning: Beginning, logits: Sequence[Floats]) -> Floats:
        """Let prompts join whose runs gave `logits`: `[prompts, V]`, as `add` gives them."""
        new, places = beginning.lengths, beginning.places
        found = np.empty((len(new), self._decoder.spec.vocabulary), np.float32)
        if not len(new):
            return found
        count = max(len(self), 1 + max(place for rows in places for place in rows))
        self._fit(count, max(int(new.max()), self._longest()))
        copies = []
        for group, run, each in zip(beginning.groups, beginning.runs, logits, strict=True):
            found[group] = each
            for row, index in enumerate(group):
                keys_values = [buffer[row, :, : new[index]] for buffer in run.cache]
                copies.append((places[index], keys_values))
        self._decoder.spread(self._cache.put, copies)
        lengths = np.zeros(count, np.int32)
        lengths[: len(self)] = self._lengths
        for rows, length in zip(places, new, strict=True):
            lengths[rows] = length
        self._lengths = lengths
        return found

    def step(self, ids: Ids) -> Floats:
        """Append a token to every row: `ids` `[rows]`; logits `[rows, V]` of the next ones. What
        free rows are given and give means nothing.

        Raises `ValueError` when a row is as long as the context, or `ids` does not fit the rows.
        """
        if not len(self) and not np.size(ids):
            return np.empty((0, self._decoder.spec.vocabulary), np.float32)
        [logits] = self._decoder.compute([self.next(ids)])
        return logits

    def next(self, ids: Ids) -> Run:
        """What is to be computed for `step`, before anything but a `begin` is asked for."""
        if np.shape(ids) != (len(self),):
            raise ValueError(f"{len(self)} rows take as many token ids, not {np.shape(ids)}")
        if self._longest() >= self._decoder.spec.context_length:
            raise ValueError("a row has no room for another token")
        embeddings = self._decoder.embed(ids)[:, None]
        self._fit(len(self), self._longest() + 1)
        positions = self._lengths.astype(np.int64)[:, None]
        lengths = self._lengths + 1
        self._lengths = np.where(self._lengths, lengths, 0)
        return Run(embeddings, positions, lengths, self._cache.rows(len(self)))

    def free(self, rows: Sequence[int]) -> None:
        """Leave rows to others. Those at the end are no rows any more."""
        self._lengths[rows] = 0
        held = np.flatnonzero(self._lengths)
        self._lengths = self._lengths[: held[-1] + 1 if len(held) else 0]
        if not len(self):
            self._cache.rest()

    def keep(self, rows: Sequence[int]) -> None:
        """Make row i what row `rows[i]` was: drop, reorder or repeat rows.

        Only rows that change their place are copied. Raises `ValueError` for an unknown row.
        """
        if any(not 0 <= row < len(self) for row in rows):
            raise ValueError(f"there are {len(self)} rows")
        if not rows:
            self._lengths = self._lengths[:0]
            self._cache.rest()
            return
        targets = [row for row, source in enumerate(rows) if row != source]
        sources = [rows[row] for row in targets]
        self._fit(len(rows), self._longest())
        if targets:
            self._cache.move(sources, targets, self._lengths[sources])
        self._lengths = self._lengths[list(rows)]

    def _fit(self, rows: int, tokens: int) -> None:
        self._cache.fit(max(rows, len(self)), tokens, self._lengths)

    def _longest(self) -> int:
        return int(self._lengths.max(initial=0))

    def _check(self, prompt: Floats) -> None:
        spec = self._decoder.spec
        if prompt.ndim != 2 or prompt.shape[1] != spec.hidden_size or prompt.dtype != np.float32:
            raise ValueError(f"a prompt is float32 of [L, {spec.hidden_size}]")
        if not 1 <= len(prompt) <= spec.context_length:
            raise ValueError(f"a prompt has 1 to {spec.context_length} positions")


def _groups(lengths: Lengths) -> list[list[int]]:
    """Rows in ascending order of their length, cut into runs without much padding."""
    groups: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        rows = [*groups[-1], index] if groups else [index]
        size = len(rows) * int(lengths[index])
        padding = size - int(lengths[rows].sum())
        if groups and size <= _RUN_POSITIONS and padding <= max(_PADDED_PART * size, _PADDED_FREE):
            groups[-1] = rows
        else:
            groups.append([index])
    return groups
