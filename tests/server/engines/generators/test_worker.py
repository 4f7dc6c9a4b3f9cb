"""Which requests are computed together, when, and what happens to the others."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from continuations import Continuation, joined
from generators import TinyGenerator

from triptych_server.engines.generators.beam_batch import BeamRequest
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.prompts import EncodedPrompt
from triptych_server.engines.generators.protocol import Delta, Sampling, Scores
from triptych_server.engines.generators.requests import Request
from triptych_server.engines.generators.samples import SampleRequest
from triptych_server.engines.generators.scoring import ScoreRequest
from triptych_server.engines.generators.spec import asset_path, read_spec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.engines.generators.worker import PREFILL_TOKENS, Worker
from triptych_server.errors import (
    FailedPrecondition,
    Internal,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)

POISON = 12345.0  # a prompt with this number fails
QUEUE, CACHE_TOKENS = 5, 1000


class SteppedDecoder(Decoder):
    """Runs the network once a permit; remembers the rows and positions of every run. Computes
    prompts beside any step if it is `side_by_side`."""

    side_by_side = False

    def __init__(self, tiny: TinyGenerator) -> None:
        super().__init__(tiny.folder, read_spec(tiny.folder), threads=1)
        tokenizer = asset_path(tiny.folder, self.spec.tokenizer)
        self.tokenizer = GeneratorTokenizer.read(tokenizer)
        self.runs: list[tuple[int, int]] = []
        self.fault: BaseException | None = None
        self._permits = threading.Semaphore(0)
        self._begun = threading.Semaphore(0)

    def beside(self, rows: int) -> bool:
        return self.side_by_side and rows > 0

    def compute(self, runs: Any) -> Any:
        for run in runs:
            self.runs.append(run.positions.shape)
            self._begun.release()
            assert self._permits.acquire(timeout=10)
            if self.fault:
                raise self.fault
            if (run.embeddings == POISON).any():
                raise RuntimeError("the network is broken")
        return super().compute(runs)

    async def begun(self, runs: int = 1) -> None:
        """Wait until so many runs more have begun; the last of them waits for a permit."""
        for _ in range(runs):
            assert await asyncio.to_thread(self._begun.acquire, timeout=10)

    async def let(self, runs: int) -> None:
        """Let so many runs finish, and wait until the next has begun."""
        self._permits.release(runs)
        await self.begun(runs)

    def free(self) -> None:
        """Let all runs finish."""
        self._permits.release(100_000)

    def prompt(self, tokens: int) -> EncodedPrompt:
        ids = list(range(10, 10 + tokens))
        return EncodedPrompt(self.embed(ids), ids)

    def texts(self, prompt: int, tokens: int, **sampling: Any) -> Request:
        """Texts of exactly so many tokens; a beam search if there are `beams`."""
        wanted = Sampling(max_tokens=tokens, min_tokens=tokens, **sampling)
        kind = BeamRequest if wanted.beams > 1 else SampleRequest
        return kind(self.prompt(prompt), wanted, self.spec, self.tokenizer)


@pytest.fixture
def decoder(tiny: TinyGenerator) -> SteppedDecoder:
    return SteppedDecoder(tiny)


@pytest.fixture
async def worker(decoder: SteppedDecoder) -> AsyncIterator[Worker]:
    worker = Worker("tiny", decoder, queue=QUEUE, cache_tokens=CACHE_TOKENS)
    yield worker
    decoder.free()
    await worker.close()


async def outcome(request: Request) -> list[Continuation] | Scores:
    """What the caller of `request` gets in the end."""
    deltas: list[Delta] = []
    while not (deltas and deltas[-1].cost):
        event = await request.events.get()
        if isinstance(event, TriptychError):
            raise event
        if isinstance(event, Scores):
            return event
        deltas.append(event)
    return joined(deltas)


async def tokens(request: Request) -> list[int]:
    texts = await outcome(request)
    assert isinstance(texts, list)
    return [text.tokens for text in texts]


async def test_requests_join_and_leave_between_two_steps(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    long, short = decoder.texts(8, 9), decoder.texts(5, 3)
    worker.submit(long)
    await decoder.begun()
    await decoder.let(2)
    worker.submit(short)
    await decoder.let(4)
    assert await tokens(short) == [3]
    decoder.free()
    assert await tokens(long) == [9]
    alone, prompt, together = (1, 1), (1, 5), (2, 1)
    assert decoder.runs == [(1, 8), alone, alone, prompt, together, together, *[alone] * 4]


async def test_a_prompt_is_computed_once_for_all_its_texts(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    decoder.free()
    request = decoder.texts(8, 3, n=4, temperature=1.0, seed=0)
    worker.submit(request)
    assert await tokens(request) == [3] * 4
    assert decoder.runs == [(1, 8), (4, 1), (4, 1)]


async def test_prompts_are_computed_beside_a_step_where_runs_are_side_by_side(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    decoder.side_by_side = True
    requests = [decoder.texts(8, 4), decoder.texts(5, 3, n=2, temperature=1.0, seed=0)]
    worker.submit(requests[0])
    await decoder.begun()
    worker.submit(requests[1])
    decoder.free()
    assert [await tokens(request) for request in requests] == [[4], [3, 3]]
    text, prompt, together = (1, 1), (1, 5), (3, 1)
    assert decoder.runs == [(1, 8), text, prompt, text, together, together]


async def test_texts_are_the_same_where_runs_are_side_by_side(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    decoder.free()
    found = []
    for decoder.side_by_side in (False, True):
        sizes = ((8, 5), (30, 9), (11, 20), (6, 2))
        requests = [decoder.texts(*size, n=3, temperature=1.0, seed=size[0]) for size in sizes]
        for request in requests:
            worker.submit(request)
        texts = [await outcome(request) for request in requests]
        found.append(
            [[each.text for each in three if isinstance(each, Continuation)] for three in texts]
        )
    assert found[0] == found[1]


async def test_a_prompt_that_is_cancelled_before_the_step_is_not_computed(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    decoder.side_by_side = True
    running, cancelled = decoder.texts(8, 4), decoder.texts(5, 4)
    worker.submit(running)
    await decoder.begun()
    worker.submit(cancelled)
    cancelled.cancelled = True  # and it is still in the queue
    decoder.free()
    assert await tokens(running) == [4]
    assert (1, 5) not in decoder.runs


async def test_a_step_that_fails_beside_a_prompt_ends_both(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    decoder.side_by_side = True
    requests = [decoder.texts(8, 5), decoder.texts(6, 5)]
    worker.submit(requests[0])
    await decoder.begun()
    worker.submit(requests[1])
    await decoder.let(1)
    decoder.fault = RuntimeError("the network is broken")
    decoder.free()
    outcomes = await asyncio.gather(*map(outcome, requests), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Internal, Internal]
    decoder.fault = None
    later = decoder.texts(8, 5)
    worker.submit(later)
    assert await tokens(later) == [5]


async def test_running_texts_wait_for_few_prompts_at_a_time(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    worker.submit(decoder.texts(8, 9))
    await decoder.begun()
    prompts = [decoder.texts(120, 1) for _ in range(QUEUE)]
    for request in prompts:
        worker.submit(request)
    decoder.free()
    for request in prompts:
        assert await tokens(request) == [1]
    together = PREFILL_TOKENS // 120
    assert together < QUEUE
    rest = QUEUE - together
    assert decoder.runs[:5] == [(1, 8), (1, 1), (together, 120), (1, 1), (rest, 120)]


async def test_beam_searches_and_other_texts_take_turns(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    requests = [
        decoder.texts(8, 5),
        decoder.texts(9, 5, beams=2),
        decoder.texts(10, 5, beams=3),
    ]
    worker.submit(requests[0])
    await decoder.begun()
    for request in requests[1:]:
        worker.submit(request)
    decoder.free()
    for request in requests:
        assert await tokens(request) == [5]
    texts, first, second = (1, 1), (2, 1), (3, 1)
    assert decoder.runs[:4] == [(1, 8), texts, (1, 9), (1, 10)]
    assert decoder.runs[4:10] == [texts, first, texts, second, texts, first]
    assert decoder.runs[10:] == [second, first, second, first, second]


async def test_searches_take_turns_of_as_many_rows_as_the_texts_beside_them_have(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    requests = [
        decoder.texts(8, 4, n=5),
        decoder.texts(9, 4, beams=2),
        decoder.texts(10, 4, beams=3),
        decoder.texts(11, 4, beams=4),
    ]
    worker.submit(requests[0])
    await decoder.begun()
    for request in requests[1:]:
        worker.submit(request)
    decoder.free()
    for request in requests:
        assert set(await tokens(request)) == {4}
    texts, first, second, third = (5, 1), (2, 1), (3, 1), (4, 1)
    assert decoder.runs[:5] == [(1, 8), texts, (1, 9), (1, 10), (1, 11)]
    assert decoder.runs[5:11] == [texts, first, second, texts, third, first]
    assert decoder.runs[11:] == [second, third, first, second, third]


async def test_given_texts_run_beside_the_others(worker: Worker, decoder: SteppedDecoder) -> None:
    scored = ScoreRequest(decoder.prompt(8), [[20, 21, 22], [23]])
    others = decoder.texts(7, 3)
    worker.submit(scored)
    await decoder.begun()
    worker.submit(others)
    decoder.free()
    scores = await outcome(scored)
    assert isinstance(scores, Scores)
    assert list(scores.tokens) == [3, 1]
    assert await tokens(others) == [3]
    assert decoder.runs == [(1, 8), (1, 1), (1, 7), (2, 1), (1, 1)]


@pytest.mark.parametrize("beams", [1, 3])
async def test_a_cancelled_request_leaves_before_the_next_step(
    worker: Worker, decoder: SteppedDecoder, beams: int
) -> None:
    leaves = decoder.texts(8, 50, beams=beams)
    worker.submit(leaves)
    await decoder.begun()
    await decoder.let(3)
    worker.cancel(leaves)
    begun = len(decoder.runs)
    stays = decoder.texts(7, 3)
    worker.submit(stays)
    decoder.free()
    assert await tokens(stays) == [3]
    assert decoder.runs[begun:] == [(1, 7), (1, 1), (1, 1)]


async def test_a_request_that_is_cancelled_in_the_queue_is_not_computed(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    running, cancelled = decoder.texts(8, 3), decoder.texts(7, 3)
    worker.submit(running)
    await decoder.begun()
    worker.submit(cancelled)
    worker.cancel(cancelled)
    decoder.free()
    assert await tokens(running) == [3]
    assert (1, 7) not in decoder.runs


async def test_a_full_queue_refuses_at_once_until_somebody_leaves(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    worker.submit(decoder.texts(8, 3))
    await decoder.begun()
    waiting = [decoder.texts(8, 3) for _ in range(QUEUE)]
    for request in waiting:
        worker.submit(request)
    with pytest.raises(ResourceExhausted) as caught:
        worker.submit(decoder.texts(8, 3))
    assert caught.value.retry_after
    worker.cancel(waiting[2])
    last = decoder.texts(8, 3)
    worker.submit(last)
    decoder.free()
    assert await tokens(last) == [3]


async def test_requests_wait_in_their_order_until_the_cache_has_room(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    """The second one needs most of it; the third, which would fit, does not pass it."""
    first = decoder.texts(8, 20, n=10)
    large = decoder.texts(9, 91, n=9)
    small = decoder.texts(10, 3)
    for request in (first, large, small):
        worker.submit(request)
    decoder.free()
    for request, texts in ((first, 10), (large, 9), (small, 1)):
        assert len(await tokens(request)) == texts
    assert decoder.runs[:22] == [(1, 8), *[(10, 1)] * 19, (2, 10), (10, 1)]


async def test_what_never_fits_the_cache_is_refused(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    worker.submit(decoder.texts(50, 50, n=10))
    for request in (decoder.texts(50, 51, n=10), decoder.texts(50, 51, beams=10)):
        with pytest.raises(FailedPrecondition) as caught:
            worker.submit(request)
        assert caught.value.reason == "EXCEEDS_GENERATOR_MEMORY"


@pytest.mark.parametrize("side_by_side", [False, True])
async def test_a_prompt_that_fails_fails_alone(
    worker: Worker, decoder: SteppedDecoder, side_by_side: bool
) -> None:
    decoder.side_by_side = side_by_side
    running = decoder.texts(8, 5)
    worker.submit(running)
    await decoder.begun()
    joining = [decoder.texts(size, 2) for size in (7, 6, 6)]
    joining[1].prompt.embeddings[-1] = POISON
    for request in joining:
        worker.submit(request)
    decoder.free()
    first, bad, last = await asyncio.gather(*map(outcome, joining), return_exceptions=True)
    assert isinstance(bad, Internal)
    assert bad.reason == "GENERATOR_FAILED"
    assert [len(each) for each in (first, last) if isinstance(each, list)] == [1, 1]
    assert await tokens(running) == [5]


async def test_a_failed_step_ends_its_requests_and_the_worker_goes_on(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    requests = [decoder.texts(8, 5), decoder.texts(8, 5, beams=2)]
    for request in requests:
        worker.submit(request)
    await decoder.begun()
    await decoder.let(3)
    decoder.fault = RuntimeError("the network is broken")
    await decoder.let(1)
    decoder.fault = None
    decoder.free()
    outcomes = await asyncio.gather(*map(outcome, requests), return_exceptions=True)
    assert [type(each) for each in outcomes].count(Internal) == 1
    later = decoder.texts(8, 5)
    worker.submit(later)
    assert await tokens(later) == [5]


async def test_closing_ends_what_runs_and_what_waits(
    worker: Worker, decoder: SteppedDecoder
) -> None:
    requests = [decoder.texts(8, 100), decoder.texts(8, 100, beams=2), decoder.texts(8, 110, n=8)]
    for request in requests:
        worker.submit(request)
    await decoder.begun()
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    decoder.free()
    await closing
    for request in requests:
        with pytest.raises(Unavailable):
            await outcome(request)
    with pytest.raises(Unavailable):
        worker.submit(decoder.texts(8, 2))
    assert len(decoder.runs) < 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_thread_that_died(worker: Worker, decoder: SteppedDecoder) -> None:
    requests = [decoder.texts(8, 5), decoder.texts(8, 5)]
    worker.submit(requests[0])
    await decoder.begun()
    worker.submit(requests[1])
    decoder.fault = SystemExit()
    decoder.free()
    for request in requests:
        with pytest.raises(Unavailable):
            await outcome(request)
    assert worker.closed
    with pytest.raises(Unavailable):
        worker.submit(decoder.texts(8, 5))
