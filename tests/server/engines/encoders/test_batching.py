"""Which requests are computed together, when, and what happens to the others."""

import asyncio
import threading
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from triptych_server.engines.encoders import Tensors
from triptych_server.engines.encoders.batching import Batchable, BatchPolicy, BatchScheduler
from triptych_server.errors import Internal, ResourceExhausted, Unavailable

POLICY = BatchPolicy(preferred_rows=8, instances=64)


class Doubler:
    """Doubles its input once the gate is open; remembers the first column of every batch."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.batches: list[list[float]] = []

    def __call__(self, inputs: Tensors) -> Mapping[str, npt.NDArray[np.float32]]:
        values = inputs["x"]
        self.batches.append([float(row[0]) for row in values])
        self.started.release()
        assert self.gate.wait(10)
        if (values < 0).any():
            raise Internal("a negative number")
        return {"y": values * 2}


def row(value: float, width: int = 1) -> Tensors:
    return {"x": np.full((1, width), value, np.float32)}


async def started(compute: Doubler, batches: int = 1) -> None:
    for _ in range(batches):
        assert await asyncio.to_thread(compute.started.acquire, timeout=10)


async def occupy(
    scheduler: BatchScheduler, compute: Doubler, policy: BatchPolicy = POLICY
) -> tuple[Batchable, asyncio.Task[object]]:
    """A target whose first request keeps one worker busy until the gate opens."""
    target = Batchable(policy, compute, "1")
    first = asyncio.create_task(scheduler.submit(target, row(0), 1))
    await started(compute)
    return target, first


async def submit_all(
    scheduler: BatchScheduler, target: Batchable, requests: list[Tensors]
) -> list[asyncio.Task[object]]:
    tasks = [asyncio.create_task(scheduler.submit(target, each, 1)) for each in requests]
    await asyncio.sleep(0)  # each task runs up to its place in the queue
    return tasks


async def test_requests_that_wait_together_are_computed_together() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, first = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(i) for i in range(1, 21)])
    compute.gate.set()
    results = [await first, *(await asyncio.gather(*tasks))]
    assert [len(batch) for batch in compute.batches] == [1, 8, 8, 4]
    assert [float(each.outputs["y"][0, 0]) for each in results] == [2.0 * i for i in range(21)]
    assert [each.batch_size for each in results] == [1] + [8] * 16 + [4] * 4
    await scheduler.close()


async def test_what_waits_is_shared_among_idle_workers() -> None:
    scheduler, compute = BatchScheduler(2, 100), Doubler()
    target, _ = await occupy(scheduler, compute)
    second = await submit_all(scheduler, target, [row(1)])
    await started(compute)
    waiting = await submit_all(scheduler, target, [row(i) for i in range(2, 8)])
    compute.gate.set()
    await asyncio.gather(*second, *waiting)
    assert max(len(batch) for batch in compute.batches) <= 6
    assert sorted(value for batch in compute.batches for value in batch) == list(range(8))
    await scheduler.close()


async def test_unequal_shapes_are_not_joined() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, _ = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(i, 1 + i % 2) for i in range(1, 7)])
    compute.gate.set()
    results = await asyncio.gather(*tasks)
    assert sorted(compute.batches[1:]) == [[1, 3, 5], [2, 4, 6]]
    assert [each.outputs["y"].shape for each in results] == [(1, 1 + i % 2) for i in range(1, 7)]
    await scheduler.close()


async def test_the_longest_waiting_shape_goes_first() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, _ = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(1, 3), row(2, 2), row(3, 1), row(4, 3)])
    compute.gate.set()
    await asyncio.gather(*tasks)
    assert compute.batches[1:] == [[1, 4], [2], [3]]
    await scheduler.close()


async def test_cancelled_request_is_not_computed() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, first = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(1), row(2), row(3)])
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    compute.gate.set()
    await asyncio.gather(first, tasks[0], tasks[2])
    assert compute.batches[1:] == [[1, 3]]
    await scheduler.close()


async def test_cancelling_frees_the_queue() -> None:
    scheduler, compute = BatchScheduler(1, 1), Doubler()
    target, _ = await occupy(scheduler, compute)
    [waiting] = await submit_all(scheduler, target, [row(1)])
    waiting.cancel()
    await asyncio.wait([waiting])
    [next_one] = await submit_all(scheduler, target, [row(2)])
    compute.gate.set()
    assert (await next_one).outputs["y"] == 4
    await scheduler.close()


async def test_full_queue_refuses_at_once() -> None:
    scheduler, compute = BatchScheduler(1, 3), Doubler()
    target, first = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(1), row(2), row(3)])
    with pytest.raises(ResourceExhausted) as caught:
        await scheduler.submit(target, row(4), 1)
    assert caught.value.retry_after
    compute.gate.set()
    await asyncio.gather(first, *tasks)
    await scheduler.close()


async def test_one_bad_request_fails_alone() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, _ = await occupy(scheduler, compute)
    tasks = await submit_all(scheduler, target, [row(1), row(-1), row(2)])
    compute.gate.set()
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bad, Internal)
    assert (good.outputs["y"], other.outputs["y"]) == (2, 4)
    assert (await scheduler.submit(target, row(5), 1)).outputs["y"] == 10
    await scheduler.close()


async def test_small_batch_waits_for_company_as_long_as_the_policy_says() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    compute.gate.set()
    patient = BatchPolicy(preferred_rows=2, instances=1, max_delay_ns=60 * 10**9)
    target = Batchable(patient, compute, "1")
    [alone] = await submit_all(scheduler, target, [row(1)])
    assert compute.batches == []
    await scheduler.submit(target, row(2), 1)
    await alone
    assert compute.batches == [[1, 2]]
    await scheduler.close()


async def test_delay_ends_by_itself() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    compute.gate.set()
    policy = BatchPolicy(preferred_rows=2, instances=1, max_delay_ns=10**6)
    result = await scheduler.submit(Batchable(policy, compute, "1"), row(1), 1)
    assert result.queue_ns >= 10**6
    await scheduler.close()


async def test_instances_bound_the_batches_of_one_encoder_and_not_of_another() -> None:
    scheduler, compute = BatchScheduler(2, 100), Doubler()
    single = BatchPolicy(preferred_rows=8, instances=1)
    target, _ = await occupy(scheduler, compute, single)
    [waiting] = await submit_all(scheduler, target, [row(1)])
    other = Batchable(single, compute, "1")
    [beside] = await submit_all(scheduler, other, [row(2)])
    await started(compute)
    assert compute.batches == [[0], [2]]
    compute.gate.set()
    await asyncio.gather(waiting, beside)
    await scheduler.close()


async def test_closing_refuses_what_waits_and_finishes_what_runs() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, first = await occupy(scheduler, compute)
    [waiting] = await submit_all(scheduler, target, [row(1)])
    closing = asyncio.create_task(scheduler.close())
    with pytest.raises(Unavailable):
        await waiting
    compute.gate.set()
    assert (await first).outputs["y"] == 0
    await closing
    with pytest.raises(Unavailable):
        await scheduler.submit(target, row(2), 1)


async def test_closing_passes_over_callers_who_just_left() -> None:
    scheduler, compute = BatchScheduler(1, 100), Doubler()
    target, first = await occupy(scheduler, compute)
    [waiting] = await submit_all(scheduler, target, [row(1)])
    waiting.cancel()
    compute.gate.set()
    await scheduler.close()
    assert (await first).outputs["y"] == 0
