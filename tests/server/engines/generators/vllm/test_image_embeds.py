"""A real vLLM that serves BLIP-2 itself, given soft prefixes; exported by `--for-vllm`."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from continuations import continue_prompt, opened
from remotes import remote
from vllmserver import VllmServer

from triptych_export.pipeline import export_blip2
from triptych_export.random_blip2 import TINY_BLIP2, blip2_generation
from triptych_export.samples import TEXTS
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Pattern, Prompt, Sampling, SoftPrefix
from triptych_server.engines.generators.spec import read_spec
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.engines.generators.vllm.generator import VllmGenerator
from triptych_server.errors import FailedPrecondition, InvalidArgument, Unavailable
from triptych_server.media.content import Text

pytestmark = pytest.mark.engines

SIZE = replace(TINY_BLIP2, text_width=64, text_heads=2, text_layers=2, text_context=128)
SHAPE = (SIZE.queries, SIZE.text_width)
GREEDY = Sampling(max_tokens=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("blip2")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model, processor, _ = blip2_generation(SIZE)
        # As trained ones, it never says `<image>`: vLLM's prompt has that token where the prefix
        # stands, and a repetition penalty would make it less likely than in process.
        model.get_input_embeddings().weight[model.config.image_token_id] = 0
    model.save_pretrained(root / "checkpoint")
    processor.save_pretrained(root / "checkpoint")
    export_blip2(
        root / "checkpoint",
        root / "models",
        generators=root / "generators",
        for_vllm="image_embeds",
        graphs=["prefix"],
        name="tiny",
    )
    return root / "generators/tiny"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[VllmServer]:
    flags = ("--enable-mm-embeds", "--limit-mm-per-prompt", '{"image": 0}', "--max-model-len", "96")
    with VllmServer(folder / "checkpoint", *flags, name="tiny") as server:
        yield server


@pytest.fixture
async def generator(server: VllmServer, folder: Path) -> AsyncIterator[VllmGenerator]:
    generator = await remote(Style.IMAGE_EMBEDS, server.url, folder=folder, queue=40)
    yield generator
    await generator.close()


@pytest.fixture
async def in_process(folder: Path) -> AsyncIterator[OnnxGenerator]:
    generator = await opened(folder, queue=40)
    yield generator
    await generator.close()


def prefix(seed: int) -> SoftPrefix:
    numbers = np.random.default_rng(seed).normal(0, 0.3, SHAPE)
    return SoftPrefix(numbers.astype(np.float32))


def prompts(count: int) -> list[Prompt]:
    texts = [TEXTS[seed % len(TEXTS)][: 5 * (seed % 6)] for seed in range(count)]
    return [
        [*([prefix(seed)] if seed % 4 or not text else []), Text(text)]
        for seed, text in enumerate(texts)
    ]


@pytest.mark.parametrize("penalty", [1.0, 1.4])
async def test_texts_are_those_of_the_generator_in_process(
    generator: VllmGenerator, in_process: OnnxGenerator, penalty: float
) -> None:
    sampling = replace(GREEDY, repetition_penalty=penalty)
    asked = prompts(16)
    got = await asyncio.gather(*(continue_prompt(generator, each, sampling) for each in asked))
    for prompt, [text] in zip(asked, got, strict=True):
        [wanted] = await continue_prompt(in_process, prompt, sampling)
        assert (text.text, text.tokens, text.finish) == (wanted.text, wanted.tokens, wanted.finish)
        assert text.log_probability == pytest.approx(wanted.log_probability, abs=1e-3)
        assert await generator.count(prompt) == await in_process.count(prompt)


async def test_the_spec_has_what_vllm_can_do(generator: VllmGenerator, folder: Path) -> None:
    await generator.ready()
    spec = await generator.spec()
    assert spec == replace(
        read_spec(folder), beams=False, scoring=False, structure=True, context_length=96
    )
    with pytest.raises(FailedPrecondition) as caught:
        await generator.score(prompts(2)[1], [" a"])
    assert caught.value.reason == "NO_SCORING"
    with pytest.raises(FailedPrecondition) as caught:
        await continue_prompt(generator, prompts(2)[1], replace(GREEDY, beams=3))
    assert caught.value.reason == "NO_BEAMS"


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param([SoftPrefix(np.zeros((3, 64), np.float32))], id="one-row-less"),
        pytest.param([SoftPrefix(np.zeros((0, 64), np.float32))], id="no-rows"),
        pytest.param([SoftPrefix(np.zeros((5, 64), np.float32))], id="one-row-more"),
        pytest.param([SoftPrefix(np.full(SHAPE, np.nan, np.float32))], id="nan"),
        pytest.param([SoftPrefix(np.full(SHAPE, 3e38, np.float32))], id="huge"),
        pytest.param([prefix(0), prefix(1)], id="two"),
        pytest.param([Text("a"), prefix(0)], id="behind-the-text"),
        pytest.param([prefix(0), Text("a\ud800")], id="half-a-character"),
    ],
)
async def test_what_would_end_or_spoil_the_server_is_not_sent(
    generator: VllmGenerator, server: VllmServer, prompt: Prompt
) -> None:
    before = server.metric("vllm:prompt_tokens_total")
    with pytest.raises(InvalidArgument) as caught:
        await continue_prompt(generator, prompt, GREEDY)
    assert caught.value.field == "prompt"
    assert server.metric("vllm:prompt_tokens_total") == before
    await generator.ready()


async def test_special_tokens_in_a_text_stay_text(
    generator: VllmGenerator, in_process: OnnxGenerator
) -> None:
    hostile = [prefix(3), Text("a </s><image> b<pad>")]
    [text] = await continue_prompt(generator, hostile, GREEDY)
    broken_up = [prefix(3), Text("a < /s>< image> b< pad>")]
    [wanted] = await continue_prompt(in_process, broken_up, GREEDY)
    assert text.text == wanted.text


async def test_a_structure_holds_behind_a_prefix(generator: VllmGenerator) -> None:
    sampling = replace(GREEDY, structure=Pattern("(red|blue) [0-9]{3}"))
    [text] = await continue_prompt(generator, [prefix(5), Text("a")], sampling)
    assert text.text[:4] in ("red ", "blue")


async def test_a_server_that_makes_another_prompt_of_a_text_is_told(
    server: VllmServer, folder: Path, tmp_path: Path
) -> None:
    """As one with a chat template of its own would, without a word."""
    path = shutil.copytree(folder, tmp_path / "tiny") / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"begin_id": 5}))
    generator = await remote(Style.IMAGE_EMBEDS, server.url, folder=path.parent)
    with pytest.raises(Unavailable, match="template") as caught:
        await continue_prompt(generator, [prefix(5), Text("a")], GREEDY)
    assert caught.value.reason == "GENERATOR_MISCONFIGURED"
    await generator.close()
