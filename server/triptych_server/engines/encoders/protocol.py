"""What every encoder engine does, in process or remote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.engines.encoders.spec import EncoderSpec

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Inference:
    """The outputs of one request, the version of the encoder that gave them, and what they cost.

    `queue_ns` is the time from the request to the start of its batch, `compute_ns` that of the
    whole batch, and `batch_size` the rows of that batch (0 when the engine does not tell). Behind a
    Triton, which tells nothing of single requests, `batch_size` and what `queue_ns` holds of
    Triton's queue are means of the last seconds, and `compute_ns` is the rest of the round trip.
    """

    outputs: Mapping[str, npt.NDArray[np.float32]]
    version: str
    queue_ns: int
    compute_ns: int
    batch_size: int


class EncoderEngine(Protocol):
    """Computes the encoders of one model repository.

    All methods raise `NotFound` for an encoder that the repository lacks and `Unavailable` for one
    that cannot serve now. Implementations are safe to call from many tasks of one event loop.
    """

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        """Run `encoder` on `inputs`, arrays that share their first axis (the rows).

        Rows of concurrent requests with equal shapes may be computed in one batch. With a
        `max_batch_size` of 0 they never are, and inputs may differ in their rows. Raises
        `ResourceExhausted` at once when the queue is full and `InvalidArgument` for tensors that
        do not fit the spec. Cancelling the call takes it out of the queue.
        """
        ...

    async def spec(self, encoder: str) -> EncoderSpec:
        """What the encoder takes and gives, as its config.pbtxt says."""
        ...

    async def ready(self, encoder: str) -> None:
        """Return if the encoder can serve; raise `Unavailable` with the cause if it cannot."""
        ...

    async def encoders(self) -> list[str]:
        """Names of the repository's encoders, sorted."""
        ...

    async def close(self) -> None:
        """Finish what runs and release the networks."""
        ...
