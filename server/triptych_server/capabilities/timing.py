"""Where the time of one input went."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from triptych_server.engines.encoders import Inference


class Stopwatch:
    """Nanoseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()

    def ns(self) -> int:
        return time.monotonic_ns() - self._start


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Nanoseconds of one input in each stage, and the rows of the batch that it was computed in."""

    preprocess_ns: int = 0
    queue_ns: int = 0
    inference_ns: int = 0
    batch_size: int = 0

    @classmethod
    def of(cls, inference: Inference, preprocess_ns: int) -> "StageTimes":
        return cls(preprocess_ns, inference.queue_ns, inference.compute_ns, inference.batch_size)

    @classmethod
    def longest(cls, times: Iterable["StageTimes"]) -> "StageTimes":
        """The maximum of each stage: stages of inputs that run side by side overlap."""
        every = list(times) or [cls()]
        return cls(
            max(t.preprocess_ns for t in every),
            max(t.queue_ns for t in every),
            max(t.inference_ns for t in every),
            max(t.batch_size for t in every),
        )
