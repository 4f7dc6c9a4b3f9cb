"""A tiny generator with random weights, and every engine that serves it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from continuations import Reference, opened, with_ends
from generators import CONTEXT_LENGTH, TinyGenerator, write_tiny_generator
from remotes import remote
from vllmserver import VllmServer

from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.vllm.entry import Style

# Tokens that its greedy texts often contain: as ends of text, they let some end early.
END_IDS = (331, 214)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGenerator:
    folder = tmp_path_factory.mktemp("generators")
    return with_ends(write_tiny_generator(folder, name="whole"), folder / "tiny", END_IDS)


@pytest.fixture(scope="session")
def reference(tiny: TinyGenerator) -> Reference:
    return Reference(tiny, END_IDS)


@pytest.fixture(scope="session")
def vllm(tiny: TinyGenerator) -> Iterator[VllmServer]:
    """A real vLLM that serves the tiny generator's network."""
    checkpoint = tiny.folder.parent / "checkpoint"
    tiny.model.save_pretrained(checkpoint)
    tiny.tokenizer.save_pretrained(checkpoint)
    flags = ("--enable-prompt-embeds", "--max-model-len", str(CONTEXT_LENGTH))
    with VllmServer(checkpoint, *flags, name="tiny") as server:
        yield server


@pytest.fixture(params=["onnx", pytest.param("vllm", marks=pytest.mark.engines)])
async def generator(
    request: pytest.FixtureRequest, tiny: TinyGenerator
) -> AsyncIterator[Generator]:
    """Each engine in turn, with the tiny generator and room for a hundred waiting requests."""
    if request.param == "onnx":
        generator: Generator = await opened(tiny.folder, queue=100)
    else:
        server = request.getfixturevalue("vllm")
        generator = await remote(Style.PROMPT_EMBEDS, server.url, folder=tiny.folder, queue=100)
    yield generator
    await generator.close()
