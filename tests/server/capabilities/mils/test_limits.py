"""Where a search ends."""

import pytest

from triptych_server.capabilities.mils.events import Stop
from triptych_server.capabilities.mils.limits import Limits


@pytest.mark.parametrize(
    ("steps", "idle", "evaluations", "stop"),
    [
        (9, 2, 99, None),
        (10, 0, 0, Stop.STEPS),
        (5, 3, 50, Stop.PATIENCE),
        (5, 0, 100, Stop.EVALUATIONS),
        (10, 3, 100, Stop.STEPS),
    ],
)
def test_whatever_comes_first_ends_it(
    steps: int, idle: int, evaluations: int, stop: Stop | None
) -> None:
    limits = Limits(max_steps=10, patience=3, max_evaluations=100)
    assert limits.reached(steps=steps, idle=idle, evaluations=evaluations) is stop


def test_without_patience_it_may_stand_still() -> None:
    limits = Limits(max_steps=10, patience=None, max_evaluations=100)
    assert limits.reached(steps=9, idle=9, evaluations=0) is None
