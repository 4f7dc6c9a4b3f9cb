"""Running parts of one call side by side, within bounds."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from triptych_server.errors import ResourceExhausted

T = TypeVar("T")
S = TypeVar("S")


async def run_all(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run jobs side by side. The first to fail cancels the others, and its error is raised."""
    waiting = list(jobs)
    if len(waiting) == 1:  # most calls: no task is needed
        return [await waiting[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in waiting]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class Patience:
    """Lets parts of one call wait for room in a queue, but not a call that found none at all.

    `begun` says that room was found before.
    """

    def __init__(self, *, begun: bool = False) -> None:
        self._begun = begun
        self._attempts = 0

    async def admitted(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what a full queue may refuse, again and again until there is room.

        Raises `ResourceExhausted` while no part has found room and no other one is trying to.
        """
        while True:
            self._attempts += 1
            try:
                result = await attempt()
            except ResourceExhausted as error:
                if not self._begun and self._attempts == 1:
                    raise
                delay = error.retry_after or 0
            else:
                self._begun = True
                return result
            finally:
                self._attempts -= 1
            await asyncio.sleep(delay)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a stream is read ahead of its answers: in pieces, and in bytes.

    A piece that alone exceeds `size` bytes passes when nothing else is under way.
    """

    pieces: int
    size: int


async def in_order(
    source: AsyncIterator[S],
    work: Callable[[S], Coroutine[Any, Any, T]],
    size: Callable[[S], int],
    bounds: Bounds,
) -> AsyncIterator[list[T]]:
    """Do `work` on a stream side by side; yields results in the order of the stream, as many at a
    time as are ready. A piece leaves the bounds when the consumer asks for the next list.
    """
    pipeline = _Pipeline(source, work, size, bounds)
    try:
        while ready := await pipeline.next_in_order():
            yield ready
    finally:
        await pipeline.stop()


async def as_completed(
    source: AsyncIterator[S],
    work: Callable[[S], Coroutine[Any, Any, T]],
    size: Callable[[S], int],
    bounds: Bounds,
) -> AsyncIterator[list[T]]:
    """The same, but yields results as they come."""
    pipeline = _Pipeline(source, work, size, bounds)
    try:
        while ready := await pipeline.next_completed():
            yield ready
    finally:
        await pipeline.stop()


class _Pipeline(Generic[S, T]):
    """Reads a stream ahead within bounds and keeps the work on its pieces."""

    def __init__(
        self,
        source: AsyncIterator[S],
        work: Callable[[S], Coroutine[Any, Any, T]],
        size: Callable[[S], int],
        bounds: Bounds,
    ) -> None:
        self._work = work
        self._size = size
        self._bounds = bounds
        self._tasks: deque[tuple[asyncio.Task[T], int]] = deque()
        self._answered: list[int] = []  # sizes of the pieces last handed out
        self._held = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reader = asyncio.create_task(self._read(source))
        self._reader.add_done_callback(lambda _: self._changed.set())

    async def next_in_order(self) -> list[T]:
        """Results of the finished pieces at the front; empty at the end."""
        return await self._next(self._finished_front)

    async def next_completed(self) -> list[T]:
        """Results of all finished pieces; empty at the end."""
        return await self._next(self._finished)

    async def stop(self) -> None:
        """Give up what is still under way."""
        pending = [self._reader, *(task for task, _ in self._tasks)]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _next(self, finished: Callable[[], list[tuple[asyncio.Task[T], int]]]) -> list[T]:
        self._held -= sum(self._answered)
        self._answered = []
        self._room.set()
        while not (ready := finished()):
            if self._reader.done() and not self._tasks:
                self._reader.result()  # raises what broke the stream
                return []
            self._changed.clear()
            await self._changed.wait()
        self._answered = [size for _, size in ready]
        return [task.result() for task, _ in ready]

    def _finished_front(self) -> list[tuple[asyncio.Task[T], int]]:
        ready = []
        while self._tasks and self._tasks[0][0].done():
            ready.append(self._tasks.popleft())
        return ready

    def _finished(self) -> list[tuple[asyncio.Task[T], int]]:
        ready = [piece for piece in self._tasks if piece[0].done()]
        self._tasks = deque(piece for piece in self._tasks if not piece[0].done())
        return ready

    async def _read(self, source: AsyncIterator[S]) -> None:
        async for piece in source:
            size = self._size(piece)
            while not self._has_room(size):
                self._room.clear()
                await self._room.wait()
            task = asyncio.create_task(self._work(piece))
            task.add_done_callback(lambda _: self._changed.set())
            self._held += size
            self._tasks.append((task, size))

    def _has_room(self, size: int) -> bool:
        pieces = len(self._tasks) + len(self._answered)
        return not pieces or (
            pieces < self._bounds.pieces and self._held + size <= self._bounds.size
        )
