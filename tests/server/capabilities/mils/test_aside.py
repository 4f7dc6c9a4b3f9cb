"""Arithmetic that the event loop is not to wait for."""

import threading

import pytest

from triptych_server.capabilities.mils.aside import LIGHT, aside


async def test_heavy_work_is_done_in_a_thread_and_light_work_at_once() -> None:
    assert await aside(LIGHT, threading.current_thread) is threading.current_thread()
    assert await aside(LIGHT + 1, threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("operations", [0, LIGHT + 1])
async def test_arguments_results_and_errors_pass(operations: int) -> None:
    assert await aside(operations, int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="invalid literal"):
        await aside(operations, int, "f")
