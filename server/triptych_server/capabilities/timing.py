"""Where the time of one input went."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from triptych_server.engines.encoders import Inference
from triptych_server.engines.generators.protocol import Cost


class Stopwatch:
    """Nanoseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()

    def ns(self) -> int:
        return self.until(time.monotonic_ns())

    def until(self, moment_ns: int) -> int:
        """Nanoseconds from its start to a moment of the monotonic clock."""
        return moment_ns - self._start


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Nanoseconds of one input in each stage, and the rows of the batch that it was computed in.

    `first_token_at` is a moment of the monotonic clock, None where no text was generated.
    """

    preprocess_ns: int = 0
    queue_ns: int = 0
    inference_ns: int = 0
    batch_size: int = 0
    generation_ns: int = 0
    first_token_at: int | None = None

    @classmethod
    def of(cls, inference: Inference, preprocess_ns: int = 0) -> "StageTimes":
        return cls(preprocess_ns, inference.queue_ns, inference.compute_ns, inference.batch_size)

    @classmethod
    def of_generation(cls, cost: Cost, submitted_ns: int) -> "StageTimes":
        """Of a text that was asked for at `submitted_ns` of the monotonic clock."""
        return cls(
            queue_ns=cost.queue_ns,
            batch_size=cost.batch_size,
            generation_ns=cost.generation_ns,
            first_token_at=submitted_ns + cost.queue_ns + cost.first_token_ns,
        )

    @classmethod
    def of_scoring(cls, cost: Cost) -> "StageTimes":
        """Of texts that were given, and only scored."""
        return cls(
            queue_ns=cost.queue_ns, batch_size=cost.batch_size, generation_ns=cost.generation_ns
        )

    @classmethod
    def longest(cls, times: Iterable["StageTimes"]) -> "StageTimes":
        """The maximum of each stage: stages of inputs that run side by side overlap. The first
        token is the first of any."""
        every = list(times) or [cls()]
        tokens = [t.first_token_at for t in every if t.first_token_at is not None]
        return cls(
            max(t.preprocess_ns for t in every),
            max(t.queue_ns for t in every),
            max(t.inference_ns for t in every),
            max(t.batch_size for t in every),
            max(t.generation_ns for t in every),
            min(tokens, default=None),
        )

    def then(self, later: "StageTimes") -> "StageTimes":
        """Of an input that went through one engine after another."""
        first = self.first_token_at
        return StageTimes(
            self.preprocess_ns + later.preprocess_ns,
            self.queue_ns + later.queue_ns,
            self.inference_ns + later.inference_ns,
            max(self.batch_size, later.batch_size),
            self.generation_ns + later.generation_ns,
            later.first_token_at if first is None else first,
        )
