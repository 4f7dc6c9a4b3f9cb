"""Calls at once: order, how many, and what an error does."""

import threading
import time

import pytest

from triptych_export.evaluation.calls import in_parallel


def test_answers_come_in_the_order_of_the_inputs() -> None:
    later = threading.Event()

    def call(number: int) -> int:
        if number == 0:
            assert later.wait(timeout=10)
        else:
            later.set()
        return number * 10

    assert in_parallel(call, range(2), concurrency=2) == [0, 10]


def test_so_many_run_at_once() -> None:
    all_there = threading.Barrier(8, timeout=10)
    in_parallel(lambda _: all_there.wait(), range(8), concurrency=8)


def test_every_answer_advances() -> None:
    advanced: list[None] = []
    in_parallel(str, range(5), advance=lambda: advanced.append(None))
    assert len(advanced) == 5


def test_an_error_is_raised_and_what_has_not_begun_is_not_called() -> None:
    called: list[int] = []

    def call(number: int) -> None:
        called.append(number)
        time.sleep(0.001)  # as long as the fastest call takes
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        in_parallel(call, range(10_000), concurrency=1)
    assert len(called) < 10_000
