"""Streams of the blocking client: what is in flight, and how they end."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from triptych import Client, Item, Upserted, errors, requests

WAIT_S = 30  # of a test that would fail
VECTOR = np.ones(256, np.float32)
ITEM_BYTES = requests.upsert("c", Item("000", vector=VECTOR)).ByteSize()


def items(count: int) -> Iterator[Item]:
    return (Item(f"{number:03}", vector=VECTOR) for number in range(count))


def collect(answers: Iterator[Upserted], ids: list[str]) -> None:
    for answer in answers:
        ids.append(answer.id)


def test_every_item_is_answered_in_order(serve: Any, recorder: Any) -> None:
    with Client(serve(recorder())) as client:
        answers = list(client.upsert("c", items(500)))
    assert answers == [Upserted(f"{number:03}", created=True) for number in range(500)]


def test_bytes_in_flight_are_bounded_by_answers(serve: Any, recorder: Any) -> None:
    window = 10
    answers: list[Upserted] = []
    ahead: list[int] = []

    def counted() -> Iterator[Item]:
        for number, item in enumerate(items(200)):
            ahead.append(number - len(answers))
            yield item

    # A group as large as the window: the server would wait forever for one that is any smaller.
    with Client(serve(recorder(group=window))) as client:
        for answer in client.upsert("c", counted(), max_bytes_in_flight=window * ITEM_BYTES):
            answers.append(answer)
    assert len(answers) == 200
    # Besides the window, one item waits to enter it and one answer is on its way to the list.
    assert max(ahead) <= window + 1


def test_an_item_larger_than_the_window_goes_alone(serve: Any, recorder: Any) -> None:
    with Client(serve(recorder())) as client:
        assert len(list(client.upsert("c", items(20), max_bytes_in_flight=1))) == 20


def test_an_iterable_may_wait_for_the_answers_to_what_it_gave(serve: Any, recorder: Any) -> None:
    seen: queue.Queue[str] = queue.Queue()

    def step_by_step() -> Iterator[Item]:
        for item in items(50):
            yield item
            assert seen.get(timeout=WAIT_S) == item.id

    with Client(serve(recorder())) as client:
        for answer in client.upsert("c", step_by_step()):
            seen.put(answer.id)
    assert seen.empty()


def test_what_the_iterable_raises_comes_after_the_answers_and_unchanged(
    serve: Any, recorder: Any
) -> None:
    failure = KeyError("lost")

    def failing() -> Iterator[Item]:
        yield from items(3)
        raise failure

    answers: list[str] = []
    with Client(serve(recorder(group=100))) as client, pytest.raises(KeyError) as caught:
        collect(client.upsert("c", failing()), answers)
    assert caught.value is failure
    assert answers == ["000", "001", "002"]


def test_an_item_that_cannot_be_sent_is_an_error_of_the_caller(serve: Any, recorder: Any) -> None:
    both = Item("both", content="text", vector=VECTOR)
    with Client(serve(recorder())) as client, pytest.raises(ValueError, match="item 'both'"):
        list(client.upsert("c", [both]))


def test_closing_the_iterator_cancels_the_call_and_stops_the_input(
    serve: Any, recorder: Any
) -> None:
    server = recorder()
    stopped = threading.Event()

    def endless() -> Iterator[Item]:
        try:
            while True:
                yield Item("x", vector=VECTOR)
        finally:
            stopped.set()

    with Client(serve(server)) as client:
        answers = client.upsert("c", endless(), max_bytes_in_flight=4 * ITEM_BYTES)
        next(answers)
        answers.close()
        assert server.ended.wait(WAIT_S)
        assert stopped.wait(WAIT_S)


def test_a_server_that_falls_silent_runs_into_the_deadline(serve: Any, recorder: Any) -> None:
    server = recorder(group=0)
    hold = threading.Event()

    def then_nothing() -> Iterator[Item]:
        yield from items(1)
        hold.wait(WAIT_S)

    with (
        Client(serve(server), timeout=2) as client,
        pytest.raises(errors.DeadlineExceededError, match="no answer came for 2 s"),
    ):
        list(client.upsert("c", then_nothing()))
    hold.set()
    assert server.ended.wait(WAIT_S)


def test_a_slow_input_is_not_a_silent_server(serve: Any, recorder: Any) -> None:
    never = threading.Event()

    def slow() -> Iterator[Item]:
        first, second = items(2)
        yield first
        never.wait(2.5)
        yield second

    with Client(serve(recorder()), timeout=2) as client:
        assert len(list(client.upsert("c", slow()))) == 2


def test_a_stream_that_the_server_ends_raises_after_its_answers(serve: Any, recorder: Any) -> None:
    def refused() -> Iterator[Item]:
        yield from items(2)
        yield Item("abort", vector=VECTOR)
        yield from items(1000)

    answers: list[str] = []
    with (
        Client(serve(recorder())) as client,
        pytest.raises(errors.FailedPreconditionError, match="no more"),
    ):
        collect(client.upsert("c", refused(), max_bytes_in_flight=2 * ITEM_BYTES), answers)
    assert answers == ["000", "001"]


def test_nothing_is_sent_before_the_first_answer_is_asked_for(serve: Any, recorder: Any) -> None:
    server = recorder()
    with Client(serve(server)) as client:
        answers = client.upsert("c", items(1))
        assert server.received == []
        assert [answer.id for answer in answers] == server.received
