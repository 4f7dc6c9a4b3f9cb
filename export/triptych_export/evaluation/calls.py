"""Many calls to a gateway at once, so that it can batch them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")

CONCURRENCY = 64


def in_parallel(
    call: Callable[[Given], Answer],
    inputs: Iterable[Given],
    *,
    concurrency: int = CONCURRENCY,
    advance: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """What `call` returns for each input, in their order; `advance` runs after each.

    The first error of a call is raised, and the calls that had not begun are not made.
    """
    with ThreadPoolExecutor(concurrency) as threads:
        running = [threads.submit(call, given) for given in inputs]
        try:
            for done in as_completed(running):
                done.result()
                advance()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return [done.result() for done in running]
