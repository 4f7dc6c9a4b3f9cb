"""The remote engine: a Triton that serves the model repository, through its gRPC API.

Triton batches and checks tensors against config.pbtxt; this engine translates, and sends requests
in an order that can be batched. The RPC of a cancelled call is cancelled too, and Triton drops it
from its queue.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import numpy.typing as npt
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.engines.encoders.spec import EncoderSpec, spec_from_config
from triptych_server.engines.encoders.turnstile import Turnstile
from triptych_server.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)

ROLE = "triptych.role"
QUEUE_FULL = "Exceeds maximum queue size"  # Triton's words; the status is a plain UNAVAILABLE
CONTROL_TIMEOUT_S = 5.0
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),  # unlimited: the gateway bounds its own requests
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's two minutes would outlast Triton's restart
    ("grpc.keepalive_time_ms", 30_000),  # notices a host that vanished without a word
    ("grpc.keepalive_timeout_ms", 10_000),
]


class TritonEngine:
    """An `EncoderEngine` on the Triton at `url` (`host:port`); create it on the loop that uses it.

    At most `queue_rows` rows of an encoder wait to be sent, and an inference that takes longer than
    `timeout_s` makes Triton count as unavailable. Triton tells nothing of single requests, so
    `batch_size` is 0, `queue_ns` the time before sending and `compute_ns` the round trip.
    """

    def __init__(self, url: str, *, queue_rows: int = 1024, timeout_s: float = 60.0) -> None:
        self._url = url
        self._queue_rows = queue_rows
        self._timeout_s = timeout_s
        self._client = InferenceServerClient(url, channel_args=CHANNEL_OPTIONS)
        self._specs: dict[str, EncoderSpec] = {}
        self._turnstiles: dict[str, Turnstile] = {}

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        await self.spec(encoder)
        tensors = [_tensor(name, array) for name, array in inputs.items()]
        shape = tuple(tuple(array.shape[1:]) for array in inputs.values())
        rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        asked_ns = time.monotonic_ns()
        async with self._turnstiles[encoder].passage(shape, rows):
            sent_ns = time.monotonic_ns()
            call = self._client.infer(encoder, tensors, client_timeout=self._timeout_s)
            result = await self._answer(encoder, call)
        finished_ns = time.monotonic_ns()
        response = result.get_response()
        if response.model_version != (await self.spec(encoder)).version:
            await self._read_spec(encoder)  # the model was exchanged
        return Inference(
            outputs={output.name: result.as_numpy(output.name) for output in response.outputs},
            version=response.model_version,
            queue_ns=sent_ns - asked_ns,
            compute_ns=finished_ns - sent_ns,
            batch_size=0,
        )

    async def spec(self, encoder: str) -> EncoderSpec:
        return self._specs.get(encoder) or await self._read_spec(encoder)

    async def ready(self, encoder: str) -> None:
        """Reads the spec again too: a model may be exchanged without a new version."""
        call = self._client.is_model_ready(encoder, client_timeout=CONTROL_TIMEOUT_S)
        if not await self._answer(encoder, call):
            raise await self._absence(encoder)
        await self._read_spec(encoder)

    async def encoders(self) -> list[str]:
        """Triton tells the role of loaded models only; one never seen loaded is left out."""
        index = await self._index()
        loaded = {model.name for model in index if model.state == "READY"}
        configs = await asyncio.gather(*(self._config(name) for name in loaded))
        roles = {config.name for config in configs if ROLE in config.parameters}
        return sorted(roles | (self._specs.keys() & {model.name for model in index}))

    async def close(self) -> None:
        await self._client.close()

    async def _read_spec(self, encoder: str) -> EncoderSpec:
        config = await self._config(encoder)
        call = self._client.get_model_metadata(encoder, client_timeout=CONTROL_TIMEOUT_S)
        metadata = await self._answer(encoder, call)
        if ROLE not in config.parameters:
            self._specs.pop(encoder, None)
            raise _not_found(encoder)
        if not metadata.versions:
            raise Unavailable(f"{encoder} has no version loaded", reason="ENCODER_NOT_LOADED")
        try:
            # Requests that name no version get the highest that is loaded.
            spec = spec_from_config(config, max(metadata.versions, key=int))
        except ConfigError as error:
            self._specs.pop(encoder, None)
            raise Unavailable(str(error), reason="ENCODER_NOT_LOADED") from None
        if spec != self._specs.get(encoder):
            self._specs[encoder] = spec
            self._turnstiles[encoder] = self._turnstile(config)
        return spec

    def _turnstile(self, config: Any) -> Turnstile:
        """Twice as many runs as instances: while one is computed the next is on its way."""
        instances = sum(max(g.count, 1) * max(len(g.gpus), 1) for g in config.instance_group)
        preferred = max(config.dynamic_batching.preferred_batch_size, default=0)
        return Turnstile(
            runs=2 * max(instances, 1),
            run_rows=preferred or max(config.max_batch_size, 1),
            waiting_rows=self._queue_rows,
        )

    async def _config(self, encoder: str) -> Any:
        call = self._client.get_model_config(encoder, client_timeout=CONTROL_TIMEOUT_S)
        return (await self._answer(encoder, call)).config

    async def _index(self) -> Any:
        """One entry a version of each model in the repository, loaded or not."""
        call = self._client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_S)
        try:
            return (await call).models
        except InferenceServerException as error:
            raise self._translated(error) from error

    async def _answer(self, encoder: str, call: Awaitable[Any]) -> Any:
        """Await an RPC about `encoder`; its failure is raised as one of Triptych's errors."""
        try:
            return await call
        except InferenceServerException as error:
            if error.status() == "StatusCode.NOT_FOUND":
                raise await self._absence(encoder) from error
            raise self._translated(error) from error

    async def _absence(self, encoder: str) -> TriptychError:
        """Why Triton does not serve `encoder`: the repository lacks it, or it is not loaded."""
        for model in await self._index():
            if model.name == encoder:
                state = model.state.lower() or "not loaded"
                cause = f": {_first_line(model.reason)}" if model.reason else ""
                return Unavailable(f"{encoder} is {state}{cause}", reason="ENCODER_NOT_LOADED")
        return _not_found(encoder)

    def _translated(self, error: InferenceServerException) -> TriptychError:
        message = _first_line(error.message().removeprefix("[request id: <id_unknown>] "))
        match error.status():
            case "StatusCode.INVALID_ARGUMENT":
                return InvalidArgument("inputs", message)
            case "StatusCode.UNAVAILABLE" if QUEUE_FULL in message:
                return ResourceExhausted(f"Triton's queue is full: {message}")
            case "StatusCode.UNAVAILABLE" | "StatusCode.DEADLINE_EXCEEDED" | "StatusCode.CANCELLED":
                return Unavailable(f"Triton at {self._url} does not answer: {message}")
            case _:
                return Internal(f"the encoder failed: {message}", reason="ENCODER_FAILED")


def _not_found(encoder: str) -> NotFound:
    return NotFound(f"the repository has no encoder {encoder!r}", reason="ENCODER_NOT_FOUND")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _tensor(name: str, array: npt.NDArray[Any]) -> InferInput:
    if not array.size:  # which Triton would hand to models that it does not batch
        raise InvalidArgument(name, "has no rows")
    datatype = np_to_triton_dtype(array.dtype)
    if datatype is None:
        raise InvalidArgument(name, f"{array.dtype} is not a type of Triton's")
    return InferInput(name, array.shape, datatype).set_data_from_numpy(array)
