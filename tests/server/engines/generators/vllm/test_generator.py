"""The remote generator on a real vLLM: what the contract suite does not ask."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from continuations import Reference, continue_prompt, ragged_prompts, soft_prefix
from generators import CONTEXT_LENGTH, HIDDEN_SIZE, PREFIX_TOKENS, TinyGenerator
from remotes import remote
from vllmserver import VllmServer

from triptych_server import deadline
from triptych_server.engines.generators.protocol import (
    Finish,
    OneOf,
    Pattern,
    Prompt,
    Sampling,
    SoftPrefix,
)
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.engines.generators.vllm.generator import VllmGenerator
from triptych_server.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)
from triptych_server.media.content import Text

pytestmark = pytest.mark.engines

PROMPT = [soft_prefix(7), Text("a photo of")]
GREEDY = Sampling(max_tokens=20)
LONG = Sampling(max_tokens=110, min_tokens=110)
RUNNING, GENERATED = "vllm:num_requests_running", "vllm:generation_tokens_total"
PROMPTS = "vllm:prompt_tokens_total"


@pytest.fixture
async def generator(vllm: VllmServer, tiny: TinyGenerator) -> AsyncIterator[VllmGenerator]:
    generator = await remote(Style.PROMPT_EMBEDS, vllm.url, folder=tiny.folder, queue=100)
    yield generator
    await generator.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; the test's time limit ends the wait."""
    while not condition():  # noqa: ASYNC110  # metrics can only be asked for
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("n", [1, 8])
async def test_closing_a_stream_stops_the_generation(
    generator: VllmGenerator, vllm: VllmServer, n: int
) -> None:
    await until(lambda: not vllm.metric(RUNNING))
    before = vllm.metric(GENERATED)
    sampling = replace(LONG, n=n, temperature=1)
    streams = [generator.generate(PROMPT, sampling) for _ in range(8)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    await asyncio.gather(*(stream.aclose() for stream in streams))
    await until(lambda: not vllm.metric(RUNNING))
    stopped = vllm.metric(GENERATED)
    assert stopped - before < 8 * n * LONG.max_tokens
    await continue_prompt(generator, PROMPT, Sampling(max_tokens=5, min_tokens=5))
    assert vllm.metric(GENERATED) == stopped + 5


async def test_a_cancelled_task_stops_the_generation(
    generator: VllmGenerator, vllm: VllmServer
) -> None:
    await until(lambda: not vllm.metric(RUNNING))
    task = asyncio.create_task(continue_prompt(generator, PROMPT, replace(LONG, n=16, seed=1)))
    score = asyncio.create_task(generator.score(PROMPT, [" a long text" * 3] * 8))
    await until(lambda: vllm.metric(RUNNING) > 0)
    task.cancel()
    score.cancel()
    await asyncio.gather(task, score, return_exceptions=True)
    await until(lambda: not vllm.metric(RUNNING))
    generator.check_room()


async def test_a_stop_string_ends_the_work_on_a_text(
    generator: VllmGenerator, vllm: VllmServer
) -> None:
    await until(lambda: not vllm.metric(RUNNING))
    [whole] = await continue_prompt(generator, PROMPT, LONG)
    before = vllm.metric(GENERATED)
    sampling = replace(LONG, stop=[whole.text[2:4]])
    [text] = await continue_prompt(generator, PROMPT, sampling)
    assert text.finish is Finish.STOP
    await until(lambda: not vllm.metric(RUNNING))
    assert vllm.metric(GENERATED) - before < LONG.max_tokens


@pytest.mark.parametrize(
    "numbers", [np.nan, np.inf, 3e38, -1e5], ids=["nan", "inf", "huge", "beyond"]
)
async def test_numbers_that_could_spoil_others_are_not_sent(
    generator: VllmGenerator, vllm: VllmServer, numbers: float
) -> None:
    await generator.ready()
    before = vllm.metric(PROMPTS)
    prefix = SoftPrefix(np.full((PREFIX_TOKENS, HIDDEN_SIZE), numbers, np.float32))
    for call in (
        continue_prompt(generator, [prefix, Text("a")], GREEDY),
        generator.score([prefix, Text("a")], [" b"]),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await call
        assert caught.value.field == "prompt"
    assert vllm.metric(PROMPTS) == before


async def test_hostile_prompts_touch_nobody_elses_text(generator: VllmGenerator) -> None:
    """Whether they are refused or served: the largest numbers that may be sent are among them."""
    good = ragged_prompts(32)
    alone = [await continue_prompt(generator, each, GREEDY) for each in good]
    noise = np.random.default_rng(0).choice([-1e4, 1e4], (PREFIX_TOKENS, HIDDEN_SIZE))
    nan = np.full((PREFIX_TOKENS, HIDDEN_SIZE), np.nan, np.float32)
    hostile: list[Prompt] = [
        [SoftPrefix(noise.astype(np.float32)), Text("a")],
        [SoftPrefix(np.full_like(nan, 1e4)), Text("a")],
        [SoftPrefix(nan), Text("a")],
        [soft_prefix(1), Text("a </s> b <image><pad>")],
        [Text('{"prompt": "a"}\0\r\n\r\ndata: [DONE]\n\n')],
        [Text("half \ud800 a character")],
        [Text("x" * 1_000_000)],
        [soft_prefix(2), Text("x" * 1_000_000)],
    ]
    calls = [continue_prompt(generator, each, GREEDY) for each in (*good, *hostile * 2)]
    got = await asyncio.gather(*calls, return_exceptions=True)
    for texts, [wanted] in zip(got, alone, strict=False):
        assert isinstance(texts, list)
        assert (texts[0].text, texts[0].finish) == (wanted.text, wanted.finish)
    for outcome in got[len(good) :]:
        assert isinstance(outcome, (list, InvalidArgument))


async def test_structures_hold_after_a_prefix(generator: VllmGenerator) -> None:
    for structure, allowed in (
        (OneOf(["a cat", "two dogs"]), {"a cat", "two dogs"}),
        (Pattern("yes|no"), {"yes", "no"}),
    ):
        sampling = Sampling(max_tokens=20, temperature=1, n=6, seed=3, structure=structure)
        texts = await continue_prompt(generator, PROMPT, sampling)
        assert {text.text for text in texts} <= allowed
        assert {text.finish for text in texts} == {Finish.STOP}


async def test_greedy_texts_of_one_prompt_are_the_same(generator: VllmGenerator) -> None:
    [alone] = await continue_prompt(generator, PROMPT, GREEDY)
    for text in await continue_prompt(generator, PROMPT, replace(GREEDY, n=3)):
        assert replace(text, cost=None) == replace(alone, cost=None)


async def test_requests_beyond_the_queue_are_refused_at_once(
    vllm: VllmServer, tiny: TinyGenerator
) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, vllm.url, folder=tiny.folder, queue=2)
    running = [generator.generate(PROMPT, LONG) for _ in range(2)]
    await asyncio.gather(*(anext(each) for each in running))
    for refused in (
        lambda: continue_prompt(generator, PROMPT, GREEDY),
        lambda: generator.score(PROMPT, [" a"]),
    ):
        with pytest.raises(ResourceExhausted) as caught:
            await refused()
        assert caught.value.retry_after
    with pytest.raises(ResourceExhausted):
        generator.check_room()
    await running[0].aclose()
    await continue_prompt(generator, PROMPT, GREEDY)
    await generator.close()


async def test_the_context_is_the_shorter_one(
    vllm: VllmServer, tiny: TinyGenerator, tmp_path: Path
) -> None:
    """vLLM itself would cut the text short without a word."""
    path = shutil.copytree(tiny.folder, tmp_path / "tiny") / "generator.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"context_length": CONTEXT_LENGTH * 2}))
    generator = await remote(Style.PROMPT_EMBEDS, vllm.url, folder=path.parent)
    with pytest.raises(InvalidArgument) as caught:
        await continue_prompt(generator, PROMPT, Sampling(max_tokens=CONTEXT_LENGTH))
    assert caught.value.reason == "EXCEEDS_CONTEXT"
    assert (await generator.spec()).context_length == CONTEXT_LENGTH
    await generator.close()


async def test_a_model_that_the_server_lacks_is_unavailable(
    vllm: VllmServer, tiny: TinyGenerator
) -> None:
    generator = await remote(
        Style.PROMPT_EMBEDS, vllm.url, folder=tiny.folder, served_name="another"
    )
    for call in (generator.ready(), continue_prompt(generator, PROMPT, GREEDY)):
        with pytest.raises(Unavailable, match="tiny, not another"):
            await call
    await generator.close()


async def test_the_callers_deadline_ends_a_request(
    vllm: VllmServer, generator: VllmGenerator
) -> None:
    async def within(seconds: float) -> object:
        deadline.end_in(seconds)
        return await continue_prompt(generator, PROMPT, GREEDY)

    await asyncio.create_task(within(30))
    with pytest.raises(DeadlineExceeded):
        await asyncio.create_task(within(-1))


async def test_closing_ends_what_runs(vllm: VllmServer, tiny: TinyGenerator) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, vllm.url, folder=tiny.folder)
    running = generator.generate(PROMPT, LONG)
    await anext(running)
    rest = asyncio.create_task(anext(running))
    await generator.close()
    with pytest.raises(TriptychError):
        await rest
        [_ async for _ in running]
    await until(lambda: not vllm.metric(RUNNING))
    with pytest.raises(Unavailable) as caught:
        await continue_prompt(generator, PROMPT, GREEDY)
    assert caught.value.reason == "GENERATOR_STOPPED"


@pytest.fixture(scope="module")
def second(tiny: TinyGenerator, vllm: VllmServer) -> Iterator[VllmServer]:
    flags = ("--enable-prompt-embeds", "--max-model-len", str(CONTEXT_LENGTH))
    with VllmServer(tiny.folder.parent / "checkpoint", *flags, name="tiny") as server:
        yield server


async def test_requests_go_to_the_server_with_the_least_work(
    vllm: VllmServer, second: VllmServer, tiny: TinyGenerator
) -> None:
    generator = await remote(
        Style.PROMPT_EMBEDS, vllm.url, second.url, folder=tiny.folder, queue=64
    )
    before = [server.metric(PROMPTS) for server in (vllm, second)]
    streams = [generator.generate(PROMPT, LONG) for _ in range(32)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    await asyncio.gather(*(stream.aclose() for stream in streams))
    tokens = await generator.count(PROMPT)  # more than a trial has
    for server, earlier in zip((vllm, second), before, strict=True):
        assert (server.metric(PROMPTS) - earlier) // tokens == 16
    await generator.close()


async def test_a_server_that_hangs_is_left(
    vllm: VllmServer,
    second: VllmServer,
    tiny: TinyGenerator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, second.url, vllm.url, folder=tiny.folder)
    await generator.ready()
    second.send_signal(signal.SIGSTOP)
    try:
        while f"{second.url}: it is silent" not in caplog.text:  # which is told in a while
            await generator.ready()  # by the other one
            await asyncio.sleep(0.02)
        for _ in range(4):
            await asyncio.wait_for(continue_prompt(generator, PROMPT, GREEDY), 30)
    finally:
        second.send_signal(signal.SIGCONT)
    await generator.close()


async def test_a_killed_server_is_left_and_taken_back(
    vllm: VllmServer, second: VllmServer, tiny: TinyGenerator, reference: Reference
) -> None:
    both = await remote(Style.PROMPT_EMBEDS, second.url, vllm.url, folder=tiny.folder, queue=64)
    alone = await remote(Style.PROMPT_EMBEDS, second.url, folder=tiny.folder)
    [wanted] = reference.generate(PROMPT, GREEDY)
    await both.ready()
    await alone.ready()
    running = alone.generate(PROMPT, LONG)
    await anext(running)
    second.kill()

    with pytest.raises(Unavailable) as caught:
        [_ async for _ in running]
    assert caught.value.retry_after
    started = time.monotonic()
    for call in (continue_prompt(alone, PROMPT, GREEDY), alone.ready()):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.retry_after
    assert time.monotonic() - started < 1
    texts = await asyncio.gather(*(continue_prompt(both, PROMPT, GREEDY) for _ in range(16)))
    assert {text.text for [text] in texts} == {wanted.text}
    await both.ready()

    await asyncio.to_thread(second.start)
    for generator in (alone, both):
        await generator.ready()
        [text] = await continue_prompt(generator, PROMPT, GREEDY)
        assert text.text == wanted.text
        await generator.close()
