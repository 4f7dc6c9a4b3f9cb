"""Encoders of a repository, grouped to the models that requests may name."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import Role
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.errors import NotFound, Unavailable
from triptych_server.settings import SHIPPED_REPOSITORY

NAME = "miniworld-clip"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the shipped repository, to be spoiled."""
    return Path(shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "models"))


@asynccontextmanager
async def catalog(repository: Path, default: str = "") -> AsyncIterator[ModelCatalog]:
    engine = OnnxEngine(repository, threads=1, queue_rows=8)
    await engine.load()
    found = ModelCatalog(engine, repository, defaults={Task.EMBED: default})
    await found.refresh()
    yield found
    await engine.close()


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


async def test_encoders_of_one_checkpoint_are_one_model(repository: Path) -> None:
    async with catalog(repository) as found:
        model = found.get("")
        assert found.get(NAME) is model
        assert set(model.encoders) == {Role.IMAGE, Role.TEXT}
        assert model.scoring is not None
        assert model.faults == {}


async def test_model_that_did_not_change_is_kept(repository: Path) -> None:
    async with catalog(repository) as found:
        before = found.get("")
        await found.refresh()
        assert found.get("") is before


async def test_default_can_be_chosen(repository: Path) -> None:
    async with catalog(repository, default="other") as found:
        assert found.get(NAME).name == NAME
        with pytest.raises(NotFound, match="other"):
            found.get("")


async def test_empty_repository_has_no_model(tmp_path: Path) -> None:
    async with catalog(tmp_path) as found:
        assert found.list() == []
        with pytest.raises(NotFound):
            found.get("")


async def test_broken_network_is_listed_with_its_reason(repository: Path) -> None:
    (repository / f"{NAME}-image" / "1" / "model.onnx").write_bytes(b"no network")
    async with catalog(repository) as found:
        model = found.get(NAME)
        with pytest.raises(Unavailable, match="cannot be loaded"):
            await found.check_ready(model, model.encoders[Role.IMAGE])
        await found.check_ready(model, model.encoders[Role.TEXT])


async def test_broken_config_leaves_the_other_encoder(repository: Path) -> None:
    edit(repository / f"{NAME}-image" / "config.pbtxt", lambda config: config + "{")
    async with catalog(repository) as found:
        assert set(found.get(NAME).encoders) == {Role.TEXT}


@pytest.mark.parametrize("content", [None, "{}"])
async def test_tokenizer_must_be_the_one_of_the_config(
    repository: Path, content: str | None
) -> None:
    tokenizer = repository / f"{NAME}-text" / "tokenizer.json"
    tokenizer.unlink() if content is None else tokenizer.write_text(content)
    async with catalog(repository) as found:
        model = found.get(NAME)
        with pytest.raises(Unavailable, match=r"tokenizer\.json"):
            model.encoder(Role.TEXT)
        assert model.encoder(Role.IMAGE)


async def test_mended_tokenizer_is_noticed(repository: Path) -> None:
    tokenizer = repository / f"{NAME}-text" / "tokenizer.json"
    content = tokenizer.read_text()
    tokenizer.unlink()
    async with catalog(repository) as found:
        tokenizer.write_text(content)
        await found.refresh()
        assert found.get(NAME).encoder(Role.TEXT)


async def test_encoders_of_different_spaces_are_no_model(repository: Path) -> None:
    async with catalog(repository) as found:
        space = found.get("").space
    config = repository / f"{NAME}-text" / "config.pbtxt"
    edit(config, lambda text: text.replace(space, "clip:another"))
    async with catalog(repository) as found:
        for role in (Role.IMAGE, Role.TEXT):
            with pytest.raises(Unavailable, match="different spaces"):
                found.get(NAME).encoder(role)


async def test_two_encoders_of_one_role_are_no_model(repository: Path) -> None:
    copy = Path(shutil.copytree(repository / f"{NAME}-image", repository / "copy"))
    edit(copy / "config.pbtxt", lambda text: text.replace(f"{NAME}-image", "copy"))
    async with catalog(repository) as found:
        with pytest.raises(Unavailable, match="more than one encoder"):
            found.get(NAME).encoder(Role.IMAGE)
