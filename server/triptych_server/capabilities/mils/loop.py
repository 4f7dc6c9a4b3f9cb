"""The search: propose, score, propose again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

from triptych_server.capabilities.mils.course import Course
from triptych_server.capabilities.mils.events import Result, Step, Stop
from triptych_server.capabilities.mils.proposer import Proposer
from triptych_server.capabilities.mils.scorer import Scorer
from triptych_server.capabilities.mils.search import Search
from triptych_server.errors import DeadlineExceeded

# Standing still is borne so many times longer where no finalist matches.
DOUBT = 3


async def solve(
    search: Search, proposer: Proposer, scorer: Scorer, judge: Scorer | None, end: float | None
) -> AsyncGenerator[Step | Result, None]:
    """Yields a `Step` for the seeds and one for each step, and at last the `Result`.

    `end` is a moment of the event loop's clock: work that is under way then is cancelled, and the
    best so far is the result. Raises `DeadlineExceeded` if nothing is scored by then, and what the
    proposer, the scorer and the judge raise. Closing the generator, or cancelling who waits for it,
    starts nothing more.
    """
    course = Course(search, proposer, scorer)
    if not await _done_by(end, course.begin):
        raise DeadlineExceeded("the deadline passed before the seeds were scored")
    step, idle, doubted = course.report(), 0, False
    yield step
    while True:
        stop = _limit(search, step, idle // DOUBT if doubted else idle)
        if stop is None:
            done = await _done_by(end, partial(course.advance, idle))
            if done or course.scored:
                before, step = step, course.report()
                stands = step.best is before.best
                idle, doubted = (idle + 1, doubted) if stands else (0, False)
                yield step
            if done:
                continue
            stop = Stop.DEADLINE
        elif judge is not None and search.finalists:
            if not await _done_by(end, partial(course.compare, judge)):
                stop = Stop.DEADLINE
            elif stop is Stop.PATIENCE and course.doubtful and not doubted:
                doubted = True
                continue
        break
    if stop is Stop.DEADLINE and step.best is None:
        raise DeadlineExceeded("the deadline passed before a text was scored")
    yield course.result(stop, step)


def _limit(search: Search, step: Step, idle: int) -> Stop | None:
    evaluations = step.spending.evaluations
    return search.limits.reached(steps=step.step, idle=idle, evaluations=evaluations)


async def _done_by(end: float | None, work: Callable[[], Awaitable[None]]) -> bool:
    """Do the work. False if the moment came first: it is cancelled then, or not begun."""
    if end is not None and asyncio.get_running_loop().time() >= end:
        return False
    try:
        async with asyncio.timeout_at(end) as limit:
            await work()
    except TimeoutError:
        if not limit.expired():  # an engine's own
            raise
        return False
    return True
