"""Streams and parts of calls worked on side by side, within bounds."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from triptych_server.capabilities.concurrency import (
    Bounds,
    Patience,
    as_completed,
    in_order,
    run_all,
)
from triptych_server.errors import ResourceExhausted

WIDE = Bounds(pieces=100, size=1000)


async def numbers(count: int) -> AsyncIterator[int]:
    for i in range(count):
        yield i


def one(_: object) -> int:
    return 1


async def test_run_all_raises_the_first_error_and_cancels_the_rest() -> None:
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await run_all([wait(), fail()])
    assert cancelled.is_set()


async def test_in_order_keeps_the_order_of_the_stream() -> None:
    gates = [asyncio.Event() for _ in range(5)]

    async def work(i: int) -> int:
        if i + 1 < len(gates):
            await gates[i + 1].wait()
        gates[i].set()
        return i

    found = [i async for ready in in_order(numbers(5), work, one, WIDE) for i in ready]
    assert found == [0, 1, 2, 3, 4]


async def test_as_completed_does_not_wait_for_the_slow() -> None:
    release = asyncio.Event()

    async def work(i: int) -> int:
        if i == 0:
            await release.wait()
        return i

    found = []
    async for ready in as_completed(numbers(4), work, one, WIDE):
        found += ready
        if len(found) == 3:
            release.set()
    assert sorted(found[:3]) == [1, 2, 3]
    assert found[3] == 0


@pytest.mark.parametrize("bounds", [Bounds(3, 1000), Bounds(100, 3)])
async def test_stream_is_not_read_beyond_its_bounds(bounds: Bounds) -> None:
    read = 0

    async def source() -> AsyncIterator[int]:
        nonlocal read
        for i in range(20):
            read += 1
            yield i

    async def work(i: int) -> int:
        return i

    answered = 0
    async for ready in in_order(source(), work, one, bounds):
        answered += len(ready)
        assert read <= answered + 3 + 1  # one more is read and waits outside
    assert answered == 20


async def test_piece_larger_than_the_bounds_passes_alone() -> None:
    async def work(i: int) -> int:
        return i

    found = [i async for r in in_order(numbers(3), work, lambda _: 50, Bounds(8, 10)) for i in r]
    assert found == [0, 1, 2]


async def test_broken_stream_ends_with_its_error_after_what_was_read() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError("gone")

    async def work(i: int) -> int:
        return i

    found = []
    with pytest.raises(ConnectionError):
        async for ready in in_order(broken(), work, one, WIDE):
            found += ready
    assert found == [1]


async def test_leaving_early_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work(i: int) -> int:
        if i == 0:
            return i
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("unreachable")

    stream = in_order(numbers(2), work, one, WIDE)
    assert await anext(stream) == [0]
    await asyncio.sleep(0)
    await stream.aclose()
    assert cancelled.is_set()


class Narrow:
    """A queue with `places`; who finds none is refused at once."""

    def __init__(self, places: int) -> None:
        self._places = places

    async def enter(self) -> str:
        if not self._places:
            raise ResourceExhausted("full", retry_after=0)
        self._places -= 1
        await asyncio.sleep(0)
        self._places += 1
        return "in"


async def test_parts_of_a_call_wait_for_the_room_of_one() -> None:
    queue, patience = Narrow(1), Patience()
    found = await run_all(patience.admitted(queue.enter) for _ in range(5))
    assert found == ["in"] * 5


async def test_call_that_finds_no_room_is_refused() -> None:
    queue, patience = Narrow(0), Patience()
    with pytest.raises(ResourceExhausted):
        await run_all(patience.admitted(queue.enter) for _ in range(5))


async def test_call_that_found_room_before_waits() -> None:
    queue, patience = Narrow(0), Patience(begun=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(patience.admitted(queue.enter), 0.01)
