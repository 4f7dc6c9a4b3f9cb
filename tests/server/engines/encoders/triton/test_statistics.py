"""Triton's sums become means of the last seconds."""

import pytest

from triptych_server.engines.encoders.triton.statistics import Counts, Means, RecentMeans


def means(*polls: dict[str, Counts | None]) -> Means | None:
    """Of the model `image`, after polls that tell the counts of each Triton; None is silence."""
    recent = RecentMeans()
    for poll in polls:
        recent.update({triton: {"image": c} if c else {} for triton, c in poll.items()})
    return recent.of("image")


def test_what_was_counted_before_is_no_news() -> None:
    first = {"a": Counts(rows=1000, batches=1000, requests=1000, queue_ns=5)}
    assert means(first) is None
    then = {"a": Counts(rows=1012, batches=1002, requests=1004, queue_ns=205)}
    assert means(first, then) == Means(batch_rows=6.0, queue_ns=50.0)


def test_means_are_those_of_the_last_traffic() -> None:
    busy = {"a": Counts(10, 1, 10, 100)}
    quiet = {"a": Counts(12, 3, 12, 104)}
    assert means({"a": Counts()}, busy, quiet) == Means(1.0, 2.0)
    assert means({"a": Counts()}, busy, quiet, quiet) == Means(1.0, 2.0)


def test_tritons_are_counted_together() -> None:
    first = {"a": Counts(), "b": Counts(100, 100, 100, 100)}
    then = {"a": Counts(6, 1, 6, 600), "b": Counts(102, 101, 102, 300)}
    assert means(first, then) == Means(4.0, 100.0)


@pytest.mark.parametrize(
    "restarted",
    [Counts(8, 2, 8, 80), Counts(800, 200, 800, 8000)],
    ids=["noticed-soon", "noticed-late"],
)
def test_a_triton_that_counts_anew_is_noticed(restarted: Counts) -> None:
    """Late, some of its counts have grown beyond what they were."""
    assert means({"a": Counts(100, 100, 1000, 100)}, {"a": restarted}) == Means(4.0, 10.0)


def test_a_triton_that_does_not_tell_for_once_keeps_its_counts() -> None:
    before, after = {"a": Counts(100, 100, 100, 100)}, {"a": Counts(104, 101, 104, 108)}
    assert means(before, {"a": None}) is None
    assert means(before, {"a": None}, after) == Means(4.0, 2.0)


def test_a_triton_that_is_no_more_is_forgotten() -> None:
    before, after = {"a": Counts(100, 100, 100, 100)}, {"a": Counts(104, 101, 104, 108)}
    assert means(before, {}, after) is None
