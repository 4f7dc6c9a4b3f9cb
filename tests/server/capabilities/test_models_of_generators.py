"""Models whose generators are on servers, which come, go, fall silent and fail."""

import asyncio
from pathlib import Path
from socket import socket

import pytest
from catalogs import catalog, generator
from tiny_blip2 import write_prefix, write_vision

from triptych_server.capabilities.models import ANSWER_S, ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders.triton import TritonEngine
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import GeneratorSpec, Instructions
from triptych_server.errors import FailedPrecondition, NotFound, Unavailable

NAME = "miniworld-clip"
SILENT = {"http://one:8000": "http://one:8000 does not answer"}


class TalkingServer(OnnxGenerator):
    """A chat model far away, that answers while it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(Path(name), threads=1, queue=1, cache_bytes=1)
        self.answers = asyncio.Event()
        self.answers.set()

    async def spec(self) -> GeneratorSpec:  # type: ignore[override]  # it has no folder
        await self.answers.wait()
        return GeneratorSpec(
            name=self.name,
            model=self.name,
            family="chat",
            source="tests",
            precision="",
            context_length=64,
            instructions=Instructions(),
        )

    async def ready(self) -> None:
        await self.answers.wait()


class DefectiveGenerator(TalkingServer):
    """One that fails as nobody foresaw."""

    async def spec(self) -> GeneratorSpec:  # type: ignore[override]  # it has no folder
        raise KeyError("max_model_len")


async def test_while_a_server_is_silent_no_model_that_writes_is_known_to_be_missing(
    repository: Path,
) -> None:
    async with catalog(repository, silent=SILENT) as found:
        await found.check(Task.EMBED)
        for name in ("", "qwen", NAME):
            with pytest.raises(Unavailable, match="http://one:8000"):
                found.get(name, Task.CHAT)
        with pytest.raises(Unavailable, match="http://one:8000"):
            await found.check(Task.CHAT)
        with pytest.raises(NotFound, match="qwen"):
            found.get("qwen", Task.EMBED)


async def test_model_that_writes_serves_while_another_server_is_silent(
    repository: Path, tmp_path: Path
) -> None:
    write_prefix(repository / "reader-prefix", "reader")
    write_vision(repository / "reader-vision", "reader")
    decoder = await generator(tmp_path / "reader")
    async with catalog(repository, generators=[decoder], silent=SILENT) as found:
        assert found.get("reader", Task.VISION_LANGUAGE).generator == await decoder.spec()


async def test_generator_that_cannot_be_read_is_unavailable_by_its_name(
    repository: Path, tmp_path: Path
) -> None:
    decoder = await generator(tmp_path / "writer", layers="many")
    async with catalog(repository, generators=[decoder]) as found:
        with pytest.raises(Unavailable, match="layers"):
            found.get("writer", Task.CHAT)
        with pytest.raises(NotFound):
            found.get("another", Task.CHAT)


async def test_generators_come_and_go(repository: Path, tmp_path: Path) -> None:
    decoder = await generator(tmp_path / "writer", model="writer", space="", family="llama")
    fleet: list[Generator] = []
    async with catalog(repository, generators=fleet) as found:
        fleet.append(decoder)
        await found.refresh()
        model = found.get("writer", None)
        assert found.generator(model) is decoder
        fleet.clear()
        await found.refresh()
        with pytest.raises(Unavailable, match="served no more"):
            found.generator(model)
        with pytest.raises(NotFound):
            found.get("writer", None)


async def test_what_a_generator_told_once_holds_while_it_is_silent(
    repository: Path, tmp_path: Path
) -> None:
    chat = TalkingServer("chat")
    async with catalog(repository, generators=[chat]) as found:
        chat.answers.clear()
        await asyncio.wait_for(found.refresh(), ANSWER_S + 5)
        model = found.get("chat", Task.CHAT)
        with pytest.raises(Unavailable, match="chat did not answer within 2 s"):
            await asyncio.wait_for(found.check_generator(model), ANSWER_S + 5)
        chat.answers.set()
        await found.check(Task.CHAT)


async def test_generator_with_a_defect_takes_no_other_model_away(repository: Path) -> None:
    defective, chat = DefectiveGenerator("defective"), TalkingServer("chat")
    async with catalog(repository, generators=[defective, chat]) as found:
        await found.check(Task.EMBED)
        assert found.generator(found.get("chat", Task.CHAT)) is chat
        with pytest.raises(Unavailable, match="defective cannot tell what it is: KeyError"):
            found.get("defective", Task.CHAT)


async def test_no_model_is_known_to_be_missing_before_the_engine_has_listed_them(
    tmp_path: Path,
) -> None:
    with socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        engine = TritonEngine(f"127.0.0.1:{nobody.getsockname()[1]}", queue_rows=8)
        chat = TalkingServer("chat")
        found = ModelCatalog(engine, tmp_path, generators=[chat])
        await found.refresh()
        for name in ("", "miniworld-clip"):
            with pytest.raises(Unavailable, match="does not answer") as caught:
                found.get(name, Task.EMBED)
            assert caught.value.retry_after
        with pytest.raises(Unavailable, match="does not answer"):
            await found.check(Task.CHAT)
        assert found.generator(found.get("chat", Task.CHAT)) is chat
        await engine.close()


PROPOSALS = {
    "example": "{percent} {text}",
    "separator": "\n",
    "ending": "\n100",
    "subject": "a {subject}",
    "examples": 6,
}


async def test_proposals_are_of_models_trained_for_them_before_chat_models(
    repository: Path, tmp_path: Path
) -> None:
    chat = TalkingServer("a-chat")
    writer = await generator(
        tmp_path / "writer", model="writer", space="", max_prefixes=0, proposals=PROPOSALS
    )
    plain = await generator(tmp_path / "plain", model="plain", space="", max_prefixes=0)
    fleet: list[Generator] = [chat, plain, writer]
    async with catalog(repository, generators=fleet) as found:
        assert found.get("", Task.PROPOSE).name == "writer"
        assert found.is_default(found.get("writer", Task.PROPOSE))
        assert found.get("a-chat", Task.PROPOSE).can(Task.CHAT)
        with pytest.raises(FailedPrecondition, match="serves proposals"):
            found.get("writer", Task.CHAT)
        for name in ("plain", NAME):
            with pytest.raises(FailedPrecondition, match="does not serve proposals"):
                found.get(name, Task.PROPOSE)
        with pytest.raises(NotFound, match="for proposals are: writer, a-chat"):
            found.get("none", Task.PROPOSE)
        with pytest.raises(Unavailable):  # its network is missing
            await found.check(Task.PROPOSE)
        fleet.remove(writer)
        await found.refresh()
        assert found.get("", Task.PROPOSE).name == "a-chat"
        await found.check(Task.PROPOSE)


async def test_encoders_that_cannot_be_read_keep_nobody_from_proposing(repository: Path) -> None:
    (repository / f"{NAME}-text" / "config.pbtxt").write_text("no config")
    async with catalog(repository, generators=[TalkingServer("chat")]) as found:
        await found.check(Task.PROPOSE)
        with pytest.raises(NotFound):
            found.get("another", Task.PROPOSE)
