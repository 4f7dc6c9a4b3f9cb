"""What every generator does alike: each test runs on every engine."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from continuations import (
    Continuation,
    Reference,
    continue_prompt,
    joined,
    ragged_prompts,
    soft_prefix,
)
from generators import CONTEXT_LENGTH, HIDDEN_SIZE, PREFIX_TOKENS, TinyGenerator

from triptych_server.engines.generators.protocol import (
    Delta,
    Finish,
    Generator,
    Prompt,
    Sampling,
    SoftPrefix,
)
from triptych_server.engines.generators.spec import read_spec
from triptych_server.engines.generators.vllm.generator import VllmGenerator
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Text

PROMPT = [soft_prefix(7), Text("a photo of")]
DRAWN = Sampling(max_tokens=20, min_tokens=20, temperature=1.0, seed=11)


async def anext_finish(deltas: AsyncIterator[Delta]) -> Delta:
    """The first delta that ends a text."""
    return await anext(delta async for delta in deltas if delta.finish)


def assert_equal(got: list[Continuation], wanted: list[Continuation]) -> None:
    assert [replace(each, log_probability=0.0, cost=None) for each in got] == [
        replace(each, log_probability=0.0) for each in wanted
    ]
    np.testing.assert_allclose(
        [each.log_probability for each in got],
        [each.log_probability for each in wanted],
        atol=1e-3,
    )


async def refusal(generator: Generator, prompt: Prompt, sampling: Sampling) -> str | None:
    """The reason for which this engine must refuse a request, None if it must serve it."""
    spec = await generator.spec()
    if sampling.beams > 1 and not spec.beams:
        return "NO_BEAMS"
    prefix = any(isinstance(part, SoftPrefix) for part in prompt)
    if prefix and sampling.repetition_penalty != 1 and not spec.prefix_penalty:
        return "NO_REPETITION_PENALTY"
    return None


async def continued(
    generator: Generator, prompt: Prompt, sampling: Sampling
) -> list[Continuation] | None:
    """The texts of a request; None if it was refused, as it must be."""
    reason = await refusal(generator, prompt, sampling)
    if not reason:
        return await continue_prompt(generator, prompt, sampling)
    with pytest.raises(FailedPrecondition) as caught:
        await continue_prompt(generator, prompt, sampling)
    assert caught.value.reason == reason
    return None


async def test_the_spec_is_what_generator_json_says(
    generator: Generator, tiny: TinyGenerator
) -> None:
    spec = read_spec(tiny.folder)
    if isinstance(generator, VllmGenerator):
        spec = replace(spec, beams=False, structure=True, prefix_penalty=False)
    assert await generator.spec() == spec
    assert generator.name == "tiny"


async def test_a_loaded_generator_is_ready(generator: Generator) -> None:
    assert await generator.ready() is None


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param(Sampling(max_tokens=30), id="greedy"),
        pytest.param(Sampling(max_tokens=30, min_tokens=30), id="forced"),
        pytest.param(Sampling(max_tokens=30, min_tokens=10), id="at-least"),
        pytest.param(Sampling(max_tokens=1), id="one-token"),
        pytest.param(Sampling(max_tokens=30, repetition_penalty=1.3), id="penalty"),
        pytest.param(Sampling(max_tokens=30, repetition_penalty=0.8), id="bonus"),
        pytest.param(Sampling(max_tokens=30, beams=5, n=5), id="beams"),
        pytest.param(Sampling(max_tokens=30, beams=5, length_penalty=2), id="beams-long"),
        pytest.param(Sampling(max_tokens=30, beams=5, length_penalty=-1), id="beams-short"),
        pytest.param(Sampling(max_tokens=30, beams=4, n=2, min_tokens=8), id="beams-at-least"),
        pytest.param(Sampling(max_tokens=12, beams=3, repetition_penalty=1.5), id="beams-penalty"),
        pytest.param(Sampling(max_tokens=1, beams=2, n=2), id="beams-one-token"),
    ],
)
async def test_texts_of_ragged_prompts_are_those_of_transformers(
    generator: Generator, reference: Reference, sampling: Sampling
) -> None:
    prompts = ragged_prompts(12)
    got = await asyncio.gather(*(continued(generator, each, sampling) for each in prompts))
    for prompt, texts in zip(prompts, got, strict=True):
        if texts is not None:
            assert_equal(texts, reference.generate(prompt, sampling))


async def test_texts_end_for_both_reasons(generator: Generator) -> None:
    """Otherwise the comparisons above would prove little."""
    spec = await generator.spec()
    for sampling in (Sampling(max_tokens=30), Sampling(max_tokens=30, beams=5)):
        calls = (continued(generator, each, sampling) for each in ragged_prompts(12))
        finishes = {texts[0].finish for texts in await asyncio.gather(*calls) if texts}
        served = sampling.beams == 1 or spec.beams
        assert finishes == ({Finish.STOP, Finish.LENGTH} if served else set())


async def test_deltas_add_up_to_the_text_and_come_token_by_token(
    generator: Generator, reference: Reference
) -> None:
    sampling = Sampling(max_tokens=40, min_tokens=40)
    deltas = [delta async for delta in generator.generate(PROMPT, sampling)]
    assert len(deltas) > 20
    assert_equal(joined(deltas), reference.generate(PROMPT, sampling))


async def test_whole_texts_are_the_same(generator: Generator) -> None:
    for sampling in (replace(DRAWN, n=4), replace(DRAWN, stop=("e",))):
        pieces = await continue_prompt(generator, PROMPT, sampling)
        whole = await continue_prompt(generator, PROMPT, replace(sampling, whole=True))
        assert [(each.text, each.tokens, each.finish) for each in whole] == [
            (each.text, each.tokens, each.finish) for each in pieces
        ]


async def test_samples_of_one_prompt_differ_and_come_again_with_their_seed(
    generator: Generator,
) -> None:
    sampling = replace(DRAWN, n=8)
    texts = await continue_prompt(generator, PROMPT, sampling)
    assert len({each.text for each in texts}) == 8
    again = await continue_prompt(generator, PROMPT, sampling)
    assert [each.text for each in again] == [each.text for each in texts]
    [first] = await continue_prompt(generator, PROMPT, DRAWN)
    assert first.text == texts[0].text


async def test_without_a_seed_every_call_draws_anew(generator: Generator) -> None:
    sampling = replace(DRAWN, seed=None)
    texts = [(await continue_prompt(generator, PROMPT, sampling))[0].text for _ in range(4)]
    assert len(set(texts)) == 4


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}])
async def test_narrow_sampling_is_greedy(
    generator: Generator, reference: Reference, narrow: dict[str, float]
) -> None:
    got = await continue_prompt(generator, PROMPT, replace(DRAWN, **narrow))
    assert_equal(got, reference.generate(PROMPT, Sampling(max_tokens=20, min_tokens=20)))


async def test_seeded_samples_do_not_depend_on_their_neighbours(generator: Generator) -> None:
    prompts = ragged_prompts(100)
    samplings = [
        replace(DRAWN, seed=seed, temperature=0.7 + seed % 4 / 5, top_p=1 - seed % 3 / 10)
        for seed in range(len(prompts))
    ]
    requests = list(zip(prompts, samplings, strict=True))
    alone = [await continue_prompt(generator, *request) for request in requests]
    among = []
    for start in range(0, len(requests), 32):
        company = [requests[(start + offset) % len(requests)] for offset in range(32)]
        calls = (continue_prompt(generator, *request) for request in company)
        among += await asyncio.gather(*calls)
    del among[len(requests) :]
    equal = [a[0].text == b[0].text for a, b in zip(alone, among, strict=True)]
    assert sum(equal) >= 99


async def test_the_cost_tells_what_a_request_took(generator: Generator) -> None:
    [text] = await continue_prompt(generator, PROMPT, Sampling(max_tokens=10, min_tokens=10))
    cost = text.cost
    assert cost is not None
    assert cost.prompt_tokens == await generator.count(PROMPT)
    assert cost.queue_ns >= 0
    assert 0 < cost.first_token_ns < cost.generation_ns


async def test_text_ends_before_a_stop_string(generator: Generator, reference: Reference) -> None:
    sampling = Sampling(max_tokens=30, min_tokens=30)
    [whole] = reference.generate(PROMPT, sampling)
    stop = whole.text[11:14]
    end = whole.text.index(stop)
    for beams in (1, 2):
        stopped = replace(sampling, beams=beams, stop=("nowhere in it", stop))
        texts = await continued(generator, PROMPT, stopped)
        if texts is None:
            continue
        [text] = texts
        assert stop not in text.text
        assert text.finish is Finish.STOP
        assert 0 < text.tokens < whole.tokens
        if beams == 1:
            assert text.text == whole.text[:end]


async def test_special_tokens_in_a_text_are_plain_characters(generator: Generator) -> None:
    plain = await generator.count([Text("a  b")])
    for special in ("</s>", "<image>", "<pad>"):
        assert await generator.count([Text(f"a {special} b")]) >= plain + len(special) - 1


async def test_begin_of_text_stands_before_the_first_text_or_last(generator: Generator) -> None:
    assert await generator.count([soft_prefix(0)]) == PREFIX_TOKENS + 1
    assert await generator.count([]) == 1
    assert await generator.count([Text(""), soft_prefix(0), Text("")]) == PREFIX_TOKENS + 1


async def test_adjacent_texts_are_one(generator: Generator) -> None:
    sampling = Sampling(max_tokens=10)
    split = [soft_prefix(0), Text("a ph"), Text("oto"), Text(" of")]
    whole = [soft_prefix(0), Text("a photo of")]
    assert await generator.count(split) == await generator.count(whole)
    got, wanted = [await continue_prompt(generator, each, sampling) for each in (split, whole)]
    assert got[0].text == wanted[0].text


async def test_scores_are_the_log_probabilities_of_transformers(
    generator: Generator, reference: Reference
) -> None:
    texts = [" a cat", " two dogs on the beach", " 一只小猫", " x", ""]
    for prompt in ragged_prompts(6):
        scores = await generator.score(prompt, texts)
        wanted = [reference.score(prompt, text) for text in texts]
        np.testing.assert_allclose(scores.log_probabilities, wanted, atol=1e-3)
        lengths = [await generator.count([Text(text)]) for text in texts]
        assert list(scores.tokens) == lengths  # one less to begin with, one more to end


async def test_scores_do_not_depend_on_what_else_runs(generator: Generator) -> None:
    texts = [" a cat", " two dogs on the beach"]
    alone = await generator.score(PROMPT, texts)
    calls = [continue_prompt(generator, each, DRAWN) for each in ragged_prompts(8)]
    among, *_ = await asyncio.gather(generator.score(PROMPT, texts), *calls)
    np.testing.assert_allclose(among.log_probabilities, alone.log_probabilities, atol=1e-4)


async def test_prompt_and_text_may_fill_the_context_and_not_more(generator: Generator) -> None:
    fits = CONTEXT_LENGTH - await generator.count(PROMPT)
    for beams in (1, 2):
        sampling = Sampling(max_tokens=fits, min_tokens=fits, beams=beams)
        texts = await continued(generator, PROMPT, sampling)
        if texts is None:
            continue
        [text] = texts
        assert (text.tokens, text.finish) == (fits, Finish.LENGTH)
        with pytest.raises(InvalidArgument) as caught:
            await continue_prompt(generator, PROMPT, replace(sampling, max_tokens=fits + 1))
        assert caught.value.field == "prompt"
    with pytest.raises(InvalidArgument) as caught:
        await generator.score(PROMPT, [" a", " x" * CONTEXT_LENGTH])
    assert caught.value.field == "continuations[1]"


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(
            [SoftPrefix(np.zeros((PREFIX_TOKENS - 1, HIDDEN_SIZE), np.float32))], id="few"
        ),
        pytest.param([SoftPrefix(np.zeros((PREFIX_TOKENS, 1), np.float32))], id="narrow"),
        pytest.param([SoftPrefix(np.zeros((HIDDEN_SIZE,), np.float32))], id="flat"),
        pytest.param([SoftPrefix(np.zeros((PREFIX_TOKENS, HIDDEN_SIZE)))], id="double"),
        pytest.param(
            [SoftPrefix(np.full((PREFIX_TOKENS, HIDDEN_SIZE), np.nan, np.float32))], id="nan"
        ),
        pytest.param(
            [SoftPrefix(np.full((PREFIX_TOKENS, HIDDEN_SIZE), np.inf, np.float32))], id="inf"
        ),
        pytest.param([soft_prefix(0)] * CONTEXT_LENGTH, id="many"),
    ],
)
async def test_prefixes_that_do_not_fit_are_invalid(generator: Generator, prompt: Prompt) -> None:
    sampling = Sampling(max_tokens=2)
    for call in (
        continue_prompt(generator, prompt, sampling),
        generator.score(prompt, [" a"]),
        generator.count(prompt),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await call
        assert caught.value.field == "prompt"


async def test_closed_and_cancelled_generations_end(generator: Generator) -> None:
    sampling = Sampling(max_tokens=100, min_tokens=100)
    closed = generator.generate(PROMPT, sampling)
    assert (await anext(closed)).tokens
    await closed.aclose()

    started = asyncio.Event()

    async def consume(deltas: AsyncIterator[object]) -> None:
        async for _ in deltas:
            started.set()

    task = asyncio.create_task(consume(generator.generate(PROMPT, sampling)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [text] = await continue_prompt(generator, PROMPT, Sampling(max_tokens=5))
    assert text.cost is not None
    # vLLM does not tell who else was in the batch.
    assert text.cost.batch_size == (0 if isinstance(generator, VllmGenerator) else 1)


async def test_a_slow_reader_holds_nobody_up(generator: Generator) -> None:
    slow = generator.generate(PROMPT, Sampling(max_tokens=50, min_tokens=50))
    first = await anext(slow)
    assert await continue_prompt(generator, PROMPT, Sampling(max_tokens=50, min_tokens=50))
    rest = [delta async for delta in slow]
    assert joined([first, *rest])[0].tokens == 50


async def test_short_texts_overtake_long_ones(generator: Generator) -> None:
    async def overtakes() -> bool:
        long = generator.generate(PROMPT, replace(DRAWN, max_tokens=110, min_tokens=110, n=32))
        await anext(long)
        rest = asyncio.create_task(anext_finish(long))
        await continue_prompt(generator, PROMPT, Sampling(max_tokens=2))
        overtaken = not rest.done()
        await rest
        return overtaken

    # One of some: a machine that is busy with something else may tell of both ends at once.
    assert any([await overtakes() for _ in range(4)])


async def test_a_prefix_that_overflows_fails_alone(generator: Generator) -> None:
    huge = SoftPrefix(np.full((PREFIX_TOKENS, HIDDEN_SIZE), 3e38, np.float32))
    calls = [
        continue_prompt(generator, prompt, Sampling(max_tokens=20))
        for prompt in (PROMPT, [huge, Text("a")], PROMPT)
    ]
    first, _, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert first[0].text == last[0].text
    assert math.isfinite(first[0].log_probability)
