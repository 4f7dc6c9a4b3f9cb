"""Which generators there are: folders in process, tables, and what servers say that they run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from language import FUSED, PLAIN, SPACE
from model_list import listing
from ports import quiet_port

from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.vllm import served_models
from triptych_server.engines.generators.vllm.generator import VllmGenerator
from triptych_server.errors import Unavailable
from triptych_server.fleet import Fleet
from triptych_server.opening import open_generators
from triptych_server.remote_generators import RemoteGenerator
from triptych_server.settings import Settings


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a server is slow, and not silent."""
    monkeypatch.setattr(served_models, "ANSWER_S", 60.0)


@pytest.fixture
def folders(language_repository: Path, tmp_path: Path) -> Path:
    """A directory of two generators."""
    directory = tmp_path / "generators"
    directory.mkdir()
    for name in (FUSED, PLAIN):
        (directory / name).symlink_to(language_repository.parent / "generators" / name)
    return directory


@asynccontextmanager
async def opened(folders: Path, **settings: Any) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as resources:
        yield await open_generators(Settings(generators=folders, **settings), resources)


def kinds(fleet: Fleet) -> Mapping[str, type]:
    return {generator.name: type(generator) for generator in fleet}


def table(name: str, **fields: Any) -> RemoteGenerator:
    return RemoteGenerator(name=name, **fields)


async def test_without_servers_all_folders_run_in_process(folders: Path) -> None:
    async with opened(folders) as fleet:
        assert kinds(fleet) == {FUSED: OnnxGenerator, PLAIN: OnnxGenerator}
        assert fleet.silent() == {}


async def test_without_folders_and_servers_there_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as fleet:
        assert (list(fleet), fleet.silent()) == ([], {})


async def test_a_table_takes_the_place_of_its_folder(folders: Path) -> None:
    tables = (
        table(FUSED, urls=["http://127.0.0.1:1"], style="prompt_embeds"),
        table("llava", urls=["http://127.0.0.1:1"], pictures=2, picture_tokens=576),
    )
    async with opened(folders, remote_generators=tables) as fleet:
        assert kinds(fleet) == {
            FUSED: VllmGenerator,
            PLAIN: OnnxGenerator,
            "llava": VllmGenerator,
        }
        fused, llava = [await each.spec() for each in fleet if isinstance(each, VllmGenerator)]
        assert (fused.space, fused.instructions) == (SPACE, None)
        assert (llava.max_pictures, llava.prefix_tokens, llava.context_length) == (2, 576, 0)


async def test_models_of_a_server_are_found(folders: Path) -> None:
    with listing(FUSED, "Qwen/Qwen2.5-7B-Instruct", "not a name") as server:
        async with opened(folders, generator=server.url) as fleet:
            assert kinds(fleet) == {
                FUSED: VllmGenerator,
                PLAIN: OnnxGenerator,
                "Qwen2.5-7B-Instruct": VllmGenerator,
            }
            specs = {each.name: await each.spec() for each in fleet}
            assert specs[FUSED].space == SPACE
            qwen = specs["Qwen2.5-7B-Instruct"]
            assert (qwen.model, qwen.max_pictures) == ("Qwen2.5-7B-Instruct", 0)
            assert qwen.context_length == 2048
            assert qwen.instructions is not None


async def test_a_table_may_be_about_a_model_that_is_found(folders: Path) -> None:
    with listing("org/llava", "other") as server:
        tables = (table("sees", served_name="org/llava", pictures=1),)
        async with opened(folders, generator=server.url, remote_generators=tables) as fleet:
            assert kinds(fleet).keys() == {FUSED, PLAIN, "sees", "other"}


async def test_a_table_without_a_served_name_is_about_the_first(folders: Path) -> None:
    with listing("org/llava", "adapter") as server:
        async with opened(
            folders, generator=server.url, remote_generators=(table("sees", pictures=1),)
        ) as fleet:
            assert kinds(fleet).keys() == {FUSED, PLAIN, "sees", "adapter"}


async def test_models_are_found_when_a_server_comes_up(folders: Path) -> None:
    tables = (table("known", urls=["http://127.0.0.1:1"]),)
    with quiet_port() as port:
        url = f"http://127.0.0.1:{port}"
        async with opened(folders, generator=url, remote_generators=tables) as fleet:
            # Which of the folders the server runs is not known, so none runs in process.
            assert kinds(fleet) == {"known": VllmGenerator}
            assert list(fleet.silent()) == [url]
            assert url in fleet.silent()[url]
            with listing(FUSED, port=port):
                await fleet.look()
                assert kinds(fleet) == {
                    FUSED: VllmGenerator,
                    PLAIN: OnnxGenerator,
                    "known": VllmGenerator,
                }
                assert fleet.silent() == {}


async def test_models_stay_while_their_server_is_down(folders: Path) -> None:
    with quiet_port() as port, listing(FUSED, port=port) as server:
        async with opened(folders, generator=server.url) as fleet:
            before = list(fleet)
            server.shutdown()
            server.server_close()
            await fleet.look()
            assert list(fleet) == before
            assert fleet.silent() == {}


async def test_models_that_a_server_runs_no_more_are_closed(folders: Path) -> None:
    with listing(FUSED, "old") as server:
        async with opened(folders, generator=server.url) as fleet:
            gone = [each for each in fleet if each.name in (FUSED, "old")]
            server.models = [PLAIN]
            await fleet.look()
            assert kinds(fleet) == {FUSED: OnnxGenerator, PLAIN: VllmGenerator}
            for each in gone:
                with pytest.raises(Unavailable, match="stopped"):
                    await each.ready()


async def test_servers_that_answer_tell_for_all(folders: Path) -> None:
    with listing("qwen") as server:
        async with opened(folders, generator=f"http://127.0.0.1:1,{server.url}") as fleet:
            assert "qwen" in kinds(fleet)


async def test_models_are_given_up_only_when_all_servers_have_answered(folders: Path) -> None:
    with (
        quiet_port() as port,
        listing("qwen") as stays,
        listing("qwen", "adapter", port=port) as goes,
    ):
        async with opened(folders, generator=f"{stays.url},{goes.url}") as fleet:
            assert kinds(fleet).keys() == {FUSED, PLAIN, "qwen", "adapter"}
            before = list(fleet)
            goes.shutdown()
            goes.server_close()
            await fleet.look()
            assert list(fleet) == before
            with listing("qwen", port=port):
                await fleet.look()
            assert kinds(fleet).keys() == {FUSED, PLAIN, "qwen"}


async def test_key_is_sent(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_TEST", "secret")
    with listing("qwen") as server:
        async with opened(
            folders, generator=server.url, generator_api_key_env="KEY_OF_TEST"
        ) as fleet:
            await next(each for each in fleet if each.name == "qwen").ready()
        assert set(server.keys) == {"Bearer secret"}


async def test_key_that_is_not_there_ends_the_start(folders: Path) -> None:
    with pytest.raises(ValueError, match="NO_SUCH_KEY"):
        async with opened(folders, generator="http://a", generator_api_key_env="NO_SUCH_KEY"):
            pass


async def test_what_is_no_vllm_is_silent(folders: Path) -> None:
    with listing() as server:
        server.models = [None]  # type: ignore[list-item]
        async with opened(folders, generator=server.url) as fleet:
            assert "in no form that vLLM has" in fleet.silent()[server.url]
