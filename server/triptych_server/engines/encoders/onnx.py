"""The in-process engine: ONNX Runtime over a model repository.

One session an encoder with one thread a run, shared by as many workers as there are cores: on CPUs
this layout gives the highest throughput, since no run waits for another's threads. Batches are
formed as each config.pbtxt says (`max_batch_size`, `dynamic_batching`, the count of
`instance_group`; absent, one instance a worker). Encoders of `max_batch_size` 0 run request by
request.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from triptych_server.engines.encoders.batching import (
    Batchable,
    BatchPolicy,
    BatchScheduler,
    Compute,
)
from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository
from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.errors import InvalidArgument, NotFound, Unavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Encoder:
    """One encoder of the repository; it lacks what could not be read, and then has a fault."""

    entry: RepositoryEntry | None
    target: Batchable | None
    fault: str = ""


class OnnxEngine:
    """An `EncoderEngine` in this process. `threads` runs at a time, `queue_rows` rows waiting."""

    def __init__(self, repository: Path, *, threads: int, queue_rows: int) -> None:
        self._repository = repository
        self._threads = threads
        self._scheduler = BatchScheduler(threads, queue_rows)
        self._encoders: dict[str, _Encoder] = {}

    async def load(self) -> None:
        """Read the repository and load its networks side by side.

        An encoder that cannot be loaded stays listed, and says why when it is asked for. Raises
        `ValueError` when there is no such directory.
        """
        if not self._repository.is_dir():
            raise ValueError(f"the model repository {self._repository} is no directory")
        found = dict(read_repository(self._repository))
        loaded = await asyncio.gather(
            *(asyncio.to_thread(self._load, name, entry) for name, entry in found.items())
        )
        self._encoders = dict(zip(found, loaded, strict=True))

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        known = self._known(encoder)
        if known.entry is None or known.target is None:
            raise _not_loaded(known)
        rows = _check(known.entry.config, inputs)
        return await self._scheduler.submit(known.target, inputs, rows)

    async def spec(self, encoder: str) -> EncoderSpec:
        known = self._known(encoder)
        if known.entry is None:
            raise _not_loaded(known)
        return known.entry.spec

    async def ready(self, encoder: str) -> None:
        known = self._known(encoder)
        if known.target is None:
            raise _not_loaded(known)

    async def encoders(self) -> list[str]:
        return sorted(self._encoders)

    async def close(self) -> None:
        await self._scheduler.close()

    def _known(self, encoder: str) -> _Encoder:
        if encoder not in self._encoders:
            raise NotFound(f"the repository has no encoder {encoder!r}", reason="ENCODER_NOT_FOUND")
        return self._encoders[encoder]

    def _load(self, name: str, entry: RepositoryEntry | ConfigError) -> _Encoder:
        if isinstance(entry, ConfigError):
            _log.error("encoder not loaded: %s", entry)
            return _Encoder(None, None, str(entry))
        foreign = _foreign(entry)
        if foreign:
            _log.error("encoder not loaded: %s: %s", name, foreign)
            return _Encoder(entry, None, f"{name}: {foreign}")
        try:
            compute = _open_session(entry.network)
        except Exception as error:  # ONNX Runtime has no base class of its own
            _log.error("encoder not loaded: %s: %s", name, error)
            return _Encoder(entry, None, f"{name}: the network cannot be loaded: {error}")
        policy = _policy(entry.config, self._threads)
        return _Encoder(entry, Batchable(policy, compute, entry.spec.version))


def _not_loaded(encoder: _Encoder) -> Unavailable:
    return Unavailable(encoder.fault, reason="ENCODER_NOT_LOADED")


def session_options() -> ort.SessionOptions:
    """One thread a run: the parallelism is between runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


def _open_session(network: Path) -> Compute:
    preferred = ("CUDAExecutionProvider", "CPUExecutionProvider")
    available = ort.get_available_providers()
    session = ort.InferenceSession(
        network, session_options(), providers=[name for name in preferred if name in available]
    )
    names = [output.name for output in session.get_outputs()]

    def compute(inputs: Tensors) -> Mapping[str, npt.NDArray[np.float32]]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return compute


def _foreign(entry: RepositoryEntry) -> str:
    """Why ONNX Runtime cannot run this encoder here, and what can; empty if it may."""
    repository = entry.network.parents[2]
    serve = (
        f"run `tritonserver --model-repository={repository}` on a machine with one, and "
        f"`triptych serve --encoders triton://HOST:8001 --assets {repository}`"
    )
    if "tensorrt_plan" in (entry.config.platform, f"{entry.config.backend}_plan"):
        return f"it is a TensorRT plan, which only Triton runs, on a GPU: {serve}"
    if entry.spec.precision == "bf16" and ort.get_device() == "CPU":
        return f"it computes in bf16, for which ONNX Runtime needs a GPU: {serve}"
    return ""


def _policy(config: Any, workers: int) -> BatchPolicy:
    batching = config.dynamic_batching
    max_rows = max(config.max_batch_size, 1)
    preferred = [n for n in batching.preferred_batch_size if n <= max_rows]
    dynamic = config.HasField("dynamic_batching")
    return BatchPolicy(
        preferred_rows=max(preferred, default=max_rows) if dynamic else 1,
        instances=sum(max(group.count, 1) for group in config.instance_group) or workers,
        max_delay_ns=batching.max_queue_delay_microseconds * 1000,
    )


def _check(config: Any, inputs: Tensors) -> int:
    """Refuse tensors that the network would choke on; returns their number of rows."""
    expected = {tensor.name: tensor for tensor in config.input}
    if inputs.keys() != expected.keys():
        raise InvalidArgument("inputs", f"{config.name} takes the inputs {sorted(expected)}")
    for name, array in inputs.items():
        # Rows stand in the dims of encoders that are not batched.
        dims = (-1, *expected[name].dims) if config.max_batch_size else tuple(expected[name].dims)
        if array.ndim != len(dims) or any(
            want not in (-1, got) for want, got in zip(dims, array.shape, strict=True)
        ):
            raise InvalidArgument(name, f"{config.name} takes tensors of shape {list(dims)}")
        dtype = model_config_pb2.DataType.Name(expected[name].data_type).removeprefix("TYPE_")
        if array.dtype != triton_to_np_dtype(dtype):
            raise InvalidArgument(name, f"{config.name} takes {dtype}, not {array.dtype}")
    rows = {len(array) for array in inputs.values()}
    limit = config.max_batch_size
    if not min(rows):
        raise InvalidArgument("inputs", f"{config.name} takes one row at least")
    if limit and (len(rows) != 1 or max(rows) > limit):
        raise InvalidArgument("inputs", f"{config.name} takes 1 to {limit} rows, as many of each")
    return max(rows)
