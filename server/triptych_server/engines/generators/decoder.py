"""The decoder network of a generator on ONNX Runtime.

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

from triptych_server.engines.generators.embedding import EmbeddingTable
from triptych_server.engines.generators.spec import (
    NETWORK_FILE,
    SPEC_FILE,
    FolderSpec,
    SpecError,
)

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int32]

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
    lengths: Lengths
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
    refuses the graph. Safe to be called from several threads.
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
