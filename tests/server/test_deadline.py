"""The deadline goes with a task."""

import asyncio

from triptych_server import deadline


async def ends_in(seconds: float | None) -> float | None:
    deadline.end_in(seconds)
    await asyncio.sleep(0)
    return deadline.remaining()


async def test_tasks_have_each_their_own() -> None:
    first, second, third = await asyncio.gather(ends_in(100.0), ends_in(5.0), ends_in(None))
    assert first is not None
    assert second is not None
    assert 90 < first <= 100
    assert 0 < second <= 5
    assert third is None
    assert deadline.remaining() is None


async def test_a_deadline_that_passed_is_negative() -> None:
    remaining = await ends_in(-1.0)
    assert remaining is not None
    assert remaining < 0
