"""The in-process generator: what it refuses, and what it says when it cannot serve."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from continuations import continue_prompt, opened, ragged_prompts, soft_prefix
from generators import TinyGenerator

from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Generator,
    Message,
    OneOf,
    Prompt,
    Sampling,
    Speaker,
)
from triptych_server.engines.generators.spec import read_spec
from triptych_server.errors import FailedPrecondition, InvalidArgument, Unavailable
from triptych_server.media.content import Text

PROMPT = [soft_prefix(7), Text("a photo of")]
GREEDY = Sampling(max_tokens=3)

Break = Callable[[Path], object]


def described(tiny: TinyGenerator, folder: Path, **changes: object) -> Path:
    """A copy of the tiny generator that describes itself otherwise."""
    shutil.copytree(tiny.folder, folder)
    path = folder / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def asked(generator: Generator) -> dict[str, Awaitable[object]]:
    return {
        "ready": generator.ready(),
        "count": generator.count(PROMPT),
        "generate": continue_prompt(generator, PROMPT, GREEDY),
        "score": generator.score(PROMPT, [" a"]),
    }


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(
            lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json", id="no"
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text("{}"), "sha256", id="other"
        ),
        pytest.param(
            lambda folder: (folder / "model.onnx").write_bytes(b"x"), "model.onnx", id="graph"
        ),
        pytest.param(
            lambda folder: (folder / "embedding.npy").unlink(), "embedding.npy", id="table"
        ),
    ],
)
async def test_what_cannot_be_loaded_says_why_and_still_what_it_is(
    tiny: TinyGenerator, tmp_path: Path, spoil: Break, reason: str
) -> None:
    folder = described(tiny, tmp_path / "broken")
    spoil(folder)
    generator = await opened(folder)
    for call in asked(generator).values():
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.reason == "GENERATOR_NOT_LOADED"
        assert reason in caught.value.message
        assert "broken" in caught.value.message
    assert await generator.spec() == read_spec(folder)
    await generator.close()


async def test_without_a_description_there_is_no_spec(tmp_path: Path) -> None:
    generator = await opened(tmp_path / "missing")
    assert generator.name == "missing"
    with pytest.raises(Unavailable, match=r"missing/generator\.json"):
        await generator.spec()


async def test_whole_texts_come_in_one_piece(tiny: TinyGenerator) -> None:
    generator = await opened(tiny.folder)
    sampling = Sampling(max_tokens=20, min_tokens=20, temperature=1, n=3, whole=True)
    deltas = [delta async for delta in generator.generate(PROMPT, sampling)]
    assert sorted((delta.index, delta.tokens) for delta in deltas) == [(0, 20), (1, 20), (2, 20)]
    assert [delta.cost is not None for delta in deltas] == [False, False, True]
    await generator.close()


async def test_a_closed_generator_is_unavailable(tiny: TinyGenerator) -> None:
    generator = await opened(tiny.folder)
    running = generator.generate(PROMPT, Sampling(max_tokens=100, min_tokens=100))
    await anext(running)
    await generator.close()
    with pytest.raises(Unavailable) as caught:
        _ = [delta async for delta in running]
    assert caught.value.reason == "GENERATOR_STOPPED"
    for call in asked(generator).values():
        with pytest.raises(Unavailable):
            await call


async def test_what_the_model_lacks_is_a_failed_precondition(
    tiny: TinyGenerator, tmp_path: Path
) -> None:
    lacking = {"beams": False, "scoring": False, "space": "", "max_prefixes": 0}
    generator = await opened(described(tiny, tmp_path / "plain", **lacking))
    text = [Text("a photo of")]
    for call, reason in (
        (continue_prompt(generator, text, replace(GREEDY, beams=2)), "NO_BEAMS"),
        (generator.score(text, [" a"]), "NO_SCORING"),
        (continue_prompt(generator, PROMPT, GREEDY), "NO_SOFT_PREFIXES"),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await call
        assert caught.value.reason == reason
    assert await continue_prompt(generator, text, GREEDY)
    await generator.close()


async def test_without_a_begin_token_an_empty_prompt_is_invalid(
    tiny: TinyGenerator, tmp_path: Path
) -> None:
    generator = await opened(described(tiny, tmp_path / "beginless", begin_id=None, end_ids=[]))
    assert await generator.count([Text("x")]) == 1
    with pytest.raises(InvalidArgument, match="begin") as caught:
        await continue_prompt(generator, [Text("")], GREEDY)
    assert caught.value.field == "prompt"
    with pytest.raises(InvalidArgument, match="no tokens") as caught:
        await generator.score([Text("x")], [" a", ""])
    assert caught.value.field == "continuations[1]"
    await generator.close()


async def test_memory_bounds_what_a_request_may_take(tiny: TinyGenerator) -> None:
    spec = read_spec(tiny.folder)
    token = 2 * spec.layers * spec.key_value_heads * spec.head_size * 4
    prompt = [soft_prefix(0)]
    generator = await opened(tiny.folder, cache_bytes=token * 45)
    held = await generator.count(prompt) + 10
    assert 45 // held == 3
    assert len(await continue_prompt(generator, prompt, Sampling(max_tokens=10, n=3))) == 3
    with pytest.raises(FailedPrecondition) as caught:
        await continue_prompt(generator, prompt, Sampling(max_tokens=10, n=4))
    assert caught.value.reason == "EXCEEDS_GENERATOR_MEMORY"
    await generator.close()


@pytest.mark.parametrize(
    ("prompt", "sampling", "reason"),
    [
        (
            ChatPrompt([Message(Speaker.USER, [Text("hello")])]),
            Sampling(max_tokens=1),
            "NO_CONVERSATIONS",
        ),
        ([Text("a")], Sampling(max_tokens=1, structure=OneOf(["yes", "no"])), "NO_STRUCTURE"),
    ],
)
async def test_what_a_decoder_alone_cannot_do_is_refused(
    tiny: TinyGenerator, prompt: Prompt, sampling: Sampling, reason: str
) -> None:
    generator = await opened(tiny.folder)
    with pytest.raises(FailedPrecondition) as caught:
        await continue_prompt(generator, prompt, sampling)
    assert caught.value.reason == reason
    await generator.close()


async def test_concurrent_requests_share_a_batch(tiny: TinyGenerator) -> None:
    generator = await opened(tiny.folder, queue=16)
    sampling = Sampling(max_tokens=90, min_tokens=90)
    calls = (continue_prompt(generator, each, sampling) for each in ragged_prompts(16))
    costs = [text.cost for [text] in await asyncio.gather(*calls)]
    assert max(cost.batch_size for cost in costs if cost) >= 8
    await generator.close()
