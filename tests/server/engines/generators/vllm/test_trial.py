"""A server that lives but cannot serve the model that it is named for."""

import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from continuations import continue_prompt
from generators import TinyGenerator, write_tiny_generator
from remotes import remote
from strangers import MODELS, Stranger
from vllmserver import VllmServer

from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.vllm import endpoint
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

PROMPT = [Text("a")]
SAMPLING = Sampling(max_tokens=1)
REFUSAL = "You must set `--enable-prompt-embeds` to input `prompt_embeds`."


def refuse(_: Any) -> tuple[HTTPStatus, Any]:
    return HTTPStatus.BAD_REQUEST, {"error": {"message": REFUSAL, "param": "prompt_embeds"}}


def accept(_: Any) -> tuple[HTTPStatus, Any]:
    return HTTPStatus.OK, {"choices": [{"index": 0, "text": "a"}]}


@pytest.fixture
def vllm_like(stranger: Stranger) -> Stranger:
    stranger.answers["/v1/models"] = MODELS
    stranger.computed = accept
    return stranger


async def test_a_server_that_takes_no_embeddings_is_unavailable(
    vllm_like: Stranger, tiny: TinyGenerator
) -> None:
    vllm_like.computed = refuse
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    for _ in range(3):
        for call in (generator.ready(), continue_prompt(generator, PROMPT, SAMPLING)):
            with pytest.raises(Unavailable, match=REFUSAL) as caught:
                await call
            assert "64 numbers" in caught.value.message
            assert "It has to serve random@0" in caught.value.message
    assert len(vllm_like.asked) == 1
    await generator.close()


async def test_a_server_is_tried_when_it_comes_back_or_serves_another_model(
    vllm_like: Stranger, tiny: TinyGenerator
) -> None:
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    for _ in range(3):
        await generator.ready()
    assert len(vllm_like.asked) == 1

    vllm_like.status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(Unavailable):
        await generator.ready()
    vllm_like.status = HTTPStatus.OK
    await generator.ready()
    assert len(vllm_like.asked) == 2

    vllm_like.computed = refuse
    await generator.ready()
    [model] = MODELS["data"]
    vllm_like.answers["/v1/models"] = {"data": [model | {"root": "another"}]}
    for call in (generator.ready(), continue_prompt(generator, PROMPT, SAMPLING)):
        with pytest.raises(Unavailable, match=REFUSAL):
            await call
    assert len(vllm_like.asked) == 3
    await generator.close()


async def test_a_queue_before_the_trial_is_no_refusal(
    vllm_like: Stranger, tiny: TinyGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def wait(asked: Any) -> tuple[HTTPStatus, Any]:
        over.wait()
        return accept(asked)

    monkeypatch.setattr(endpoint, "TRIAL_S", 0.05)
    vllm_like.computed = wait
    generator = await remote(Style.PROMPT_EMBEDS, vllm_like.url, folder=tiny.folder)
    await generator.ready()
    over.set()
    await generator.close()


@pytest.mark.engines
async def test_a_vllm_with_a_network_of_another_size_is_unavailable(
    vllm: VllmServer, tmp_path: Path
) -> None:
    other = write_tiny_generator(tmp_path, hidden_size=32, word_embed_proj_dim=32)
    generator = await remote(Style.PROMPT_EMBEDS, vllm.url, folder=other.folder)
    for call in (generator.ready(), continue_prompt(generator, PROMPT, SAMPLING)):
        with pytest.raises(Unavailable, match=r"hidden_size 32 does not match .* 64"):
            await call
    await generator.close()
