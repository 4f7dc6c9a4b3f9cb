"""Requests wait here only when many are out, and pass by shape."""

import asyncio

import pytest

from triptych_server.engines.encoders.triton.turnstile import Turnstile
from triptych_server.errors import ResourceExhausted

SHORT, MEDIUM, LONG = (8,), (16,), (32,)


class Traffic:
    """Requests through one turnstile; each is out until it is told to come back."""

    def __init__(self, *, runs: int = 1, run_rows: int = 4, waiting_rows: int = 100) -> None:
        self.turnstile = Turnstile(runs=runs, run_rows=run_rows, waiting_rows=waiting_rows)
        self.out: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, name: str, shape: tuple[int, ...], rows: int = 1) -> None:
        self.tasks[name] = asyncio.create_task(self._pass(name, shape, rows))
        await settle()

    async def _pass(self, name: str, shape: tuple[int, ...], rows: int) -> None:
        async with self.turnstile.passage(shape, rows):
            self.out[name] = asyncio.Event()
            await self.out[name].wait()
            del self.out[name]

    async def come_back(self, *names: str) -> None:
        for name in names:
            self.out[name].set()
        await settle()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_passes_at_once_while_few_are_out() -> None:
    traffic = Traffic(runs=2)
    await traffic.send("a", SHORT)
    await traffic.send("b", LONG)
    assert traffic.out.keys() == {"a", "b"}


async def test_what_waits_passes_in_runs_of_equal_shape() -> None:
    traffic = Traffic()
    await traffic.send("first", SHORT)
    for name in ("s1", "l1", "s2", "l2", "s3"):
        await traffic.send(name, SHORT if name.startswith("s") else LONG)
    assert traffic.out.keys() == {"first"}
    await traffic.come_back("first")
    assert traffic.out.keys() == {"s1", "s2", "s3"}
    await traffic.come_back("s1", "s3")
    assert traffic.out.keys() == {"s2"}
    await traffic.come_back("s2")
    assert traffic.out.keys() == {"l1", "l2"}


async def test_a_run_has_at_most_the_rows_of_a_batch() -> None:
    traffic = Traffic(run_rows=4)
    await traffic.send("first", SHORT)
    for name, rows in {"a": 2, "b": 2, "c": 1, "larger than a batch": 9}.items():
        await traffic.send(name, SHORT, rows)
    await traffic.come_back("first")
    assert traffic.out.keys() == {"a", "b"}
    await traffic.come_back("a", "b")
    assert traffic.out.keys() == {"c"}
    await traffic.come_back("c")
    assert traffic.out.keys() == {"larger than a batch"}


async def test_a_busy_shape_does_not_starve_another() -> None:
    traffic = Traffic(run_rows=1)
    await traffic.send("first", SHORT)
    for name in ("s1", "s2", "s3"):
        await traffic.send(name, SHORT)
    await traffic.send("m", MEDIUM)
    order = []
    for _ in range(4):
        await traffic.come_back(*traffic.out)
        order += traffic.out
    assert order == ["s1", "m", "s2", "s3"]


async def test_a_request_cancelled_while_it_waits_never_passes() -> None:
    traffic = Traffic(waiting_rows=1)
    await traffic.send("first", SHORT)
    await traffic.send("cancelled", SHORT)
    traffic.tasks["cancelled"].cancel()
    await settle()
    await traffic.send("next", SHORT)
    await traffic.come_back("first")
    assert traffic.out.keys() == {"next"}


async def test_a_request_cancelled_while_it_is_out_makes_room() -> None:
    traffic = Traffic()
    await traffic.send("first", SHORT)
    await traffic.send("next", LONG)
    traffic.tasks["first"].cancel()
    await settle()
    assert "next" in traffic.out


async def test_a_request_cancelled_in_the_moment_it_may_pass_makes_room() -> None:
    traffic = Traffic()
    await traffic.send("first", SHORT)
    await traffic.send("cancelled", SHORT)
    await traffic.send("next", LONG)
    traffic.out["first"].set()
    await asyncio.sleep(0)  # the first is back, and the second not yet awake
    traffic.tasks["cancelled"].cancel()
    await settle()
    assert traffic.out.keys() == {"next"}


async def test_a_full_queue_refuses_at_once() -> None:
    traffic = Traffic(waiting_rows=4)
    await traffic.send("first", SHORT)
    await traffic.send("waits", SHORT, rows=3)
    await traffic.send("too many", LONG, rows=2)
    with pytest.raises(ResourceExhausted) as caught:
        await traffic.tasks["too many"]
    assert caught.value.retry_after is not None
    await traffic.send("fits", LONG, rows=1)
    await traffic.come_back("first")
    assert traffic.out.keys() == {"waits"}


async def test_more_may_pass_once_there_is_more_room() -> None:
    traffic = Traffic(run_rows=1)
    for name in ("a", "b", "c", "d", "e"):
        await traffic.send(name, SHORT)
    assert traffic.out.keys() == {"a"}
    traffic.turnstile.resize(runs=2, run_rows=2)
    await settle()
    assert traffic.out.keys() == {"a", "b", "c"}


async def test_what_is_out_comes_back_before_more_pass_when_there_is_less_room() -> None:
    traffic = Traffic(runs=2)
    for name, shape in {"a": SHORT, "b": LONG, "c": MEDIUM}.items():
        await traffic.send(name, shape)
    traffic.turnstile.resize(runs=1, run_rows=4)
    await traffic.come_back("a")
    assert traffic.out.keys() == {"b"}
    await traffic.come_back("b")
    assert traffic.out.keys() == {"c"}
