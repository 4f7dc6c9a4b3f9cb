"""Where the time of an input went, by stages."""

import time

from triptych_server.capabilities.timing import StageTimes, Stopwatch

ENCODED = StageTimes(preprocess_ns=1, queue_ns=2, inference_ns=3, batch_size=8)
WRITTEN = StageTimes(queue_ns=10, batch_size=4, generation_ns=20, first_token_at=1_000)


def test_stages_of_one_input_add_up() -> None:
    assert ENCODED.then(WRITTEN) == StageTimes(1, 12, 3, 8, 20, 1_000)
    assert WRITTEN.then(ENCODED) == StageTimes(1, 12, 3, 8, 20, 1_000)


def test_stages_of_inputs_side_by_side_overlap() -> None:
    later = StageTimes(preprocess_ns=5, generation_ns=7, first_token_at=2_000)
    assert StageTimes.longest([ENCODED, later, WRITTEN]) == StageTimes(5, 10, 3, 8, 20, 1_000)
    assert StageTimes.longest([]) == StageTimes()


def test_moment_is_told_from_the_start_of_the_watch() -> None:
    before = time.monotonic_ns()
    watch = Stopwatch()
    assert watch.until(before) <= 0 <= watch.until(time.monotonic_ns()) <= watch.ns()
