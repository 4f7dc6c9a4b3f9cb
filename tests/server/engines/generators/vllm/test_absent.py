"""The remote generator without a vLLM: what it says, and that it says it at once."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from continuations import continue_prompt, soft_prefix
from generators import TinyGenerator
from remotes import remote

from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Generator,
    Message,
    Prompt,
    Sampling,
    Speaker,
)
from triptych_server.engines.generators.spec import read_spec
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.errors import Unavailable
from triptych_server.media.content import Text

GREEDY = Sampling(max_tokens=3)
PROMPTS: dict[Style, Prompt] = {
    Style.PROMPT_EMBEDS: [soft_prefix(7), Text("a photo of")],
    Style.IMAGE_EMBEDS: [soft_prefix(7), Text("a photo of")],
    Style.CHAT: ChatPrompt([Message(Speaker.USER, [Text("hello")])]),
}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that is taken, at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def assert_unavailable(
    generator: Generator, prompt: Prompt, match: str, *, scoring: bool = True
) -> None:
    calls = [generator.ready(), continue_prompt(generator, prompt, GREEDY)]
    for call in [*calls, generator.score(prompt, [" a"])] if scoring else calls:
        with pytest.raises(Unavailable, match=match) as caught:
            await call
        assert caught.value.retry_after


@pytest.mark.parametrize("style", [Style.PROMPT_EMBEDS, Style.CHAT])
async def test_a_server_that_does_not_listen_is_unavailable_at_once(
    nowhere: str, tiny: TinyGenerator, style: Style
) -> None:
    folder = None if style is Style.CHAT else tiny.folder
    generator = await remote(style, nowhere, nowhere, folder=folder)
    started = time.monotonic()
    scoring = style is Style.PROMPT_EMBEDS
    await assert_unavailable(generator, PROMPTS[style], nowhere, scoring=scoring)
    assert time.monotonic() - started < 1
    await generator.close()


async def test_what_a_folder_tells_is_known_without_a_server(
    nowhere: str, tiny: TinyGenerator
) -> None:
    folder = read_spec(tiny.folder)
    for style, scoring in ((Style.PROMPT_EMBEDS, True), (Style.IMAGE_EMBEDS, False)):
        generator = await remote(style, nowhere, folder=tiny.folder)
        spec = await generator.spec()
        assert (spec.beams, spec.scoring, spec.structure) == (False, scoring, True)
        assert (spec.space, spec.context_length) == (folder.space, folder.context_length)
        assert await generator.count([Text("a")]) > 0
        await generator.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(lambda folder: shutil.rmtree(folder), "generator.json", id="folder"),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json", id="tokenizer"
        ),
        pytest.param(
            lambda folder: (folder / "embedding.npy").write_bytes(b"x"), "sha256", id="table"
        ),
    ],
)
async def test_a_folder_that_cannot_be_read_is_told(
    nowhere: str,
    tiny: TinyGenerator,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    told: str,
) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "spoilt"))
    spoil(folder)
    generator = await remote(Style.PROMPT_EMBEDS, nowhere, folder=folder)
    await assert_unavailable(generator, PROMPTS[Style.PROMPT_EMBEDS], told)
    await generator.close()


async def test_the_network_itself_is_not_needed(
    nowhere: str, tiny: TinyGenerator, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "light"))
    (folder / "model.onnx").unlink()
    generator = await remote(Style.PROMPT_EMBEDS, nowhere, folder=folder)
    assert (await generator.spec()).name == "light"
    await generator.close()
