"""A tiny generator with random weights, and every engine that serves it."""

from collections.abc import AsyncIterator

import pytest
from continuations import Reference, opened, with_ends
from generators import TinyGenerator, write_tiny_generator

from triptych_server.engines.generators.protocol import Generator

# Tokens that its greedy texts often contain: as ends of text, they let some end early.
END_IDS = (157, 164)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGenerator:
    folder = tmp_path_factory.mktemp("generators")
    return with_ends(write_tiny_generator(folder, name="whole"), folder / "tiny", END_IDS)


@pytest.fixture(scope="session")
def reference(tiny: TinyGenerator) -> Reference:
    return Reference(tiny, END_IDS)


@pytest.fixture(params=["onnx"])
async def generator(
    request: pytest.FixtureRequest, tiny: TinyGenerator
) -> AsyncIterator[Generator]:
    """Each engine in turn, with the tiny generator and room for a hundred waiting requests."""
    generator = await opened(tiny.folder, queue=100)
    yield generator
    await generator.close()
