"""The decoder network of a generator on ONNX Runtime, and the batches that it computes.

The graph attends through a cache that it updates in place (`GroupQueryAttention` of ONNX Runtime
with past and present in one buffer), so a step copies nothing and a row costs its own length
alone, whatever its neighbours are.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from triptych_server.engines.generators.cache import SCRATCH_TOKENS, Cache
from triptych_server.engines.generators.embedding import EmbeddingTable
from triptych_server.engines.generators.spec import (
    NETWORK_FILE,
    SPEC_FILE,
    FolderSpec,
    SpecError,
)

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

# Positions in one run of the network, padding included; enough to keep every core busy.
_RUN_POSITIONS = SCRATCH_TOKENS
# Prompts share a run while padding is at most this part of it, or takes no longer than reading the
# weights once more would.
_PADDED_PART = 0.2
_PADDED_FREE = 32
# Bytes of a network that a core's cache holds. Its operators are too short for several threads to
# share one: each thread computes rows of its own instead, of so many positions at least.
_SMALL_NETWORK = 16 * 2**20
_THREAD_POSITIONS = 16
# A step of fewer rows takes little longer than its threads to meet.
_BESIDE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Run:
    """What the network computes at once: `embeddings` `[B, S, H]` at `positions` `[B, S]`.

    `lengths` `[B]` are the rows' tokens with those of this run; shorter rows are padded on the
    right. `cache` is updated in place: keys and values of each layer, `[B, heads, room, head
    size]`. Rows either are all new or have one token each.
    """

    embeddings: Floats
    positions: Ids
    lengths: npt.NDArray[np.int32]
    cache: list[Floats]

    def part(self, rows: slice) -> "Run":
        """Some of its rows, without padding beyond the longest of them: the network refuses it."""
        tokens = min(self.positions.shape[1], int(self.lengths[rows].max()))
        return Run(
            np.ascontiguousarray(self.embeddings[rows, :tokens]),
            np.ascontiguousarray(self.positions[rows, :tokens]),
            self.lengths[rows],
            [buffer[rows] for buffer in self.cache],
        )


class Decoder:
    """One network, whose weights are loaded once; `threads` compute a run together: the operators
    of a large network, the rows of a small one.

    Raises `SpecError` when the files are not those of `spec`, and what ONNX Runtime raises when it
    refuses the graph. Safe to be called from several threads; each of its batches from one alone.
    """

    def __init__(self, folder: Path, spec: FolderSpec, *, threads: int) -> None:
        self.spec = spec
        self.bytes_per_token = 2 * spec.layers * spec.key_value_heads * spec.head_size * 4
        self._table = EmbeddingTable(folder, spec)
        # Weights in a file beside the graph are those of large networks.
        small = (folder / NETWORK_FILE).stat().st_size <= _SMALL_NETWORK
        small = small and not (folder / f"{NETWORK_FILE}.data").exists()
        self._parts = max(threads, 1) if small else 1
        self._threads = ThreadPoolExecutor(self._parts, thread_name_prefix="generator-rows")
        self._session = ort.InferenceSession(
            folder / NETWORK_FILE,
            _options(1 if small else threads),
            providers=["CPUExecutionProvider"],
        )
        _check(self._session, spec)

    def embed(self, ids: Sequence[int] | Ids) -> Floats:
        """Token embeddings `[n, H]` float32. Raises `ValueError` for an unknown id."""
        return self._table.rows(ids)

    def batch(self) -> "DecoderBatch":
        """A batch without rows."""
        return DecoderBatch(self)

    def beside(self, rows: int) -> bool:
        """Whether prompts are better computed beside a step of so many rows than before it: texts
        get their first token later then, and all get theirs faster."""
        return self._parts > 1 and rows >= _BESIDE_ROWS

    def compute(self, runs: Sequence[Run]) -> list[Floats]:
        """Logits `[B, V]` of the last token of each row, run by run.

        What fails has changed nothing but the cache at the places of its own tokens, so that the
        other runs can be computed again.
        """
        logits = [np.empty((len(run.lengths), self.spec.vocabulary), np.float32) for run in runs]
        parts = [
            (run.part(rows), found[rows])
            for run, found in zip(runs, logits, strict=True)
            for rows in self._cut(*run.positions.shape)
        ]
        self.spread(self._compute, parts)
        return logits

    def spread(self, work: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
        """Do `work` with the arguments of each task, on as many threads as compute runs; raises
        what one raised when all have ended."""
        if len(tasks) == 1:
            work(*tasks[0])
            return
        futures = [self._threads.submit(work, *task) for task in tasks]
        wait(futures)
        for future in futures:
            future.result()

    def _cut(self, rows: int, positions: int) -> list[slice]:
        """The rows of a run, in parts that threads compute side by side."""
        parts = max(1, min(self._parts, rows, rows * positions // _THREAD_POSITIONS))
        ends = [rows * part // parts for part in range(parts + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def _compute(self, run: Run, logits: Floats) -> None:
        """Write the logits of `run` to where they belong."""
        binding = self._session.io_binding()
        inputs: dict[str, npt.NDArray[Any]] = {
            "embeddings": run.embeddings,
            "positions": run.positions,
            "lengths": run.lengths,
        }
        for name, array in inputs.items():
            _bind(binding.bind_input, name, array)
        _bind(binding.bind_output, "logits", logits)
        for name, buffer in zip(_caches(self.spec.layers), run.cache, strict=True):
            _bind(binding.bind_input, f"past_{name}", buffer)
            _bind(binding.bind_output, f"present_{name}", buffer)
        self._session.run_with_iobinding(binding)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Prompts that are to join a batch: what is to be computed for them, and where they go."""

    places: Sequence[Sequence[int]]
    lengths: npt.NDArray[np.int32]
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
    def lengths(self) -> npt.NDArray[np.int32]:
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


def _groups(lengths: npt.NDArray[np.int32]) -> list[list[int]]:
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


def _check(session: ort.InferenceSession, spec: FolderSpec) -> None:
    """Refuse a network of other sizes than its spec says."""
    expected: dict[str, tuple[int, ...]] = {
        "embeddings": (spec.hidden_size,),
        "positions": (),
        "lengths": (),
        "logits": (spec.vocabulary,),
    }
    for cache in _caches(spec.layers):
        expected[f"past_{cache}"] = expected[f"present_{cache}"] = (
            spec.key_value_heads,
            spec.head_size,
        )
    found = {
        tensor.name: tuple(size for size in tensor.shape if isinstance(size, int))
        for tensor in [*session.get_inputs(), *session.get_outputs()]
    }
    if found != expected:
        raise SpecError(f"{spec.name}/{NETWORK_FILE}: not the network that {SPEC_FILE} describes")


def _caches(layers: int) -> list[str]:
    return [f"{kind}_{layer}" for layer in range(layers) for kind in ("key", "value")]


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # It would remember a plan for every shape that it ever saw, and keep the memory of the longest
    # prompt for ever.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    # The encoders have the same cores: a thread that waits must not keep one from them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _bind(bind: Any, name: str, array: npt.NDArray[Any]) -> None:
    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
