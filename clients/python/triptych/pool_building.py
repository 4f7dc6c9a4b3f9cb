"""Captions to a seed pool, by a gateway that embeds them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from triptych import seed_pool
from triptych.client import Client
from triptych.errors import FailedPreconditionError
from triptych.seed_pool import SeedPool
from triptych.vectors import FloatVector


@dataclass(frozen=True, slots=True)
class Built:
    """A pool that was written.

    `truncated` captions are longer than the model reads, and left out; embedding took `seconds`.
    """

    pool: SeedPool
    truncated: int
    seconds: float


def build(
    client: Client,
    folder: Path,
    captions: Sequence[str],
    *,
    model: str = "",
    source: str = "",
    timeout: float | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Built:
    """Embed captions, as `seed_pool.select` gives them, and write them as `seed_pool.write` does.

    `progress` is told how many are done. Raises the error of the first caption that fails, and then
    nothing has changed.
    """
    seed_pool.check_place(folder)
    if not captions:
        raise ValueError("captions: there are none")
    began = time.monotonic()
    first = client.embed(captions[0], model=model, timeout=timeout)
    stream = _Stream(client, captions, first.model, first.space, timeout, progress)
    pool = seed_pool.write(
        folder, captions, stream.vectors(), space=first.space, model=first.model, source=source
    )
    return Built(pool, stream.truncated, time.monotonic() - began)


@dataclass(slots=True)
class _Stream:
    client: Client
    captions: Sequence[str]
    model: str
    space: str
    timeout: float | None
    progress: Callable[[int], object]
    truncated: int = 0

    def vectors(self) -> Iterator[tuple[int, FloatVector]]:
        """The vectors of captions that are not cut, with their positions, as they come."""
        keyed = ((str(position), caption) for position, caption in enumerate(self.captions))
        answers = self.client.stream_embed(keyed, model=self.model, timeout=self.timeout)
        for done, answer in enumerate(answers, 1):
            if answer.error is not None:
                raise answer.error.within(f"captions[{answer.id}]")
            if answer.space != self.space:
                raise FailedPreconditionError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{self.model} changed meanwhile; build the pool again",
                )
            if answer.truncated:
                self.truncated += 1
            elif answer.vector is not None:
                yield int(answer.id), answer.vector
            self.progress(done)
