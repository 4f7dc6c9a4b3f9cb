"""Streams of the asyncio client: what is in flight, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from triptych import Item, Upserted, errors, requests
from triptych.aio import Client

WAIT_S = 30  # of a test that would fail
VECTOR = np.ones(256, np.float32)
ITEM_BYTES = requests.upsert("c", Item("000", vector=VECTOR)).ByteSize()


def items(count: int) -> Iterator[Item]:
    return (Item(f"{number:03}", vector=VECTOR) for number in range(count))


async def collect(answers: AsyncIterator[Upserted], ids: list[str]) -> None:
    async for answer in answers:
        ids.append(answer.id)


async def later(count: int) -> AsyncIterator[Item]:
    for item in items(count):
        yield item


@pytest.mark.parametrize("source", [items, later])
async def test_every_item_is_answered_in_order(serve: Any, recorder: Any, source: Any) -> None:
    async with Client(serve(recorder())) as client:
        answers = [answer async for answer in client.upsert("c", source(200))]
    assert answers == [Upserted(f"{number:03}", created=True) for number in range(200)]


async def test_bytes_in_flight_are_bounded_by_answers(serve: Any, recorder: Any) -> None:
    window = 10
    answers: list[Upserted] = []
    ahead: list[int] = []

    def counted() -> Iterator[Item]:
        for number, item in enumerate(items(200)):
            ahead.append(number - len(answers))
            yield item

    # A group as large as the window: the server would wait forever for one that is any smaller.
    async with Client(serve(recorder(group=window))) as client:
        async for answer in client.upsert("c", counted(), max_bytes_in_flight=window * ITEM_BYTES):
            answers.append(answer)
    assert len(answers) == 200
    # Besides the window, one item waits to enter it and one answer is on its way to the list.
    assert max(ahead) <= window + 1


async def test_an_iterable_may_wait_for_the_answers_to_what_it_gave(
    serve: Any, recorder: Any
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def step_by_step() -> AsyncIterator[Item]:
        for item in items(50):
            yield item
            assert await seen.get() == item.id

    async with Client(serve(recorder())) as client:
        async for answer in client.upsert("c", step_by_step()):
            seen.put_nowait(answer.id)
    assert seen.empty()


async def test_what_the_iterable_raises_comes_after_the_answers_and_unchanged(
    serve: Any, recorder: Any
) -> None:
    failure = KeyError("lost")

    def failing() -> Iterator[Item]:
        yield from items(3)
        raise failure

    answers: list[str] = []
    async with Client(serve(recorder(group=100))) as client:
        with pytest.raises(KeyError) as caught:
            await collect(client.upsert("c", failing()), answers)
    assert caught.value is failure
    assert answers == ["000", "001", "002"]


async def test_closing_the_iterator_cancels_the_call(serve: Any, recorder: Any) -> None:
    server = recorder()

    async def endless() -> AsyncIterator[Item]:
        while True:
            yield Item("x", vector=VECTOR)

    async with Client(serve(server)) as client:
        window = 4 * ITEM_BYTES
        async with aclosing(client.upsert("c", endless(), max_bytes_in_flight=window)) as answers:
            await anext(answers)
        assert await asyncio.to_thread(server.ended.wait, WAIT_S)


async def test_cancelling_the_task_cancels_the_call(serve: Any, recorder: Any) -> None:
    server = recorder(group=0)

    async def forever() -> AsyncIterator[Item]:
        yield Item("x", vector=VECTOR)
        await asyncio.Event().wait()

    async with Client(serve(server)) as client:
        task = asyncio.create_task(anext(client.upsert("c", forever())))
        assert await asyncio.to_thread(server.first.wait, WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.ended.wait, WAIT_S)


async def test_a_server_that_falls_silent_runs_into_the_deadline(serve: Any, recorder: Any) -> None:
    async def then_nothing() -> AsyncIterator[Item]:
        yield Item("x", vector=VECTOR)
        await asyncio.Event().wait()

    server = recorder(group=0)
    async with Client(serve(server), timeout=2) as client:
        with pytest.raises(errors.DeadlineExceededError, match="no answer came for 2 s"):
            await anext(client.upsert("c", then_nothing()))
    assert await asyncio.to_thread(server.ended.wait, WAIT_S)


async def test_a_slow_input_is_not_a_silent_server(serve: Any, recorder: Any) -> None:
    async def slow() -> AsyncIterator[Item]:
        first, second = items(2)
        yield first
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 2.5)
        yield second

    async with Client(serve(recorder()), timeout=2) as client:
        assert len([answer async for answer in client.upsert("c", slow())]) == 2


async def test_a_stream_that_the_server_ends_raises_after_its_answers(
    serve: Any, recorder: Any
) -> None:
    def refused() -> Iterator[Item]:
        yield from items(2)
        yield Item("abort", vector=VECTOR)
        yield from items(1000)

    answers: list[str] = []
    async with Client(serve(recorder())) as client:
        with pytest.raises(errors.FailedPreconditionError, match="no more"):
            await collect(
                client.upsert("c", refused(), max_bytes_in_flight=2 * ITEM_BYTES), answers
            )
    assert answers == ["000", "001"]
