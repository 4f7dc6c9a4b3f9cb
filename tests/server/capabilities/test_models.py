"""Encoders of a repository, grouped to the models that requests may name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from catalogs import catalog, generator
from tiny_blip2 import write_matcher, write_prefix, write_vision

from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import Role
from triptych_server.errors import FailedPrecondition, NotFound, Unavailable

NAME = "miniworld-clip"


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
    async with catalog(repository, defaults={Task.EMBED: "other"}) as found:
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


async def test_each_task_has_the_first_model_that_can_do_it(
    repository: Path, tmp_path: Path
) -> None:
    write_matcher(repository, "a-matcher")
    write_matcher(repository, "z-matcher")
    write_prefix(repository / "reader-prefix", "reader")
    write_vision(repository / "reader-vision", "reader")
    decoder = await generator(tmp_path / "reader")
    async with catalog(repository, generators=[decoder]) as found:
        assert found.get("").name == NAME
        assert found.get("", Task.MATCH).name == "a-matcher"
        reader = found.get("", Task.VISION_LANGUAGE)
        assert reader.name == "reader"
        assert reader.generator == await decoder.spec()
        assert found.generator(reader) is decoder
        assert found.get("", None).name == NAME
        defaults = [model.name for model in found.list() if found.is_default(model)]
        assert defaults == ["a-matcher", NAME, "reader"]


async def test_without_a_task_the_default_is_of_the_first_that_has_one(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_matcher(models, "a-matcher")
    async with catalog(models) as found:
        assert found.get("", None).name == "a-matcher"
    write_prefix(models / "reader-prefix", "reader")
    write_vision(models / "reader-vision", "reader")
    async with catalog(models, generators=[await generator(tmp_path / "reader")]) as found:
        assert found.get("", None).name == "reader"


async def test_defaults_are_chosen_task_by_task(repository: Path) -> None:
    write_matcher(repository, "a-matcher")
    write_matcher(repository, "z-matcher")
    async with catalog(repository, defaults={Task.MATCH: "z-matcher"}) as found:
        assert found.get("", Task.MATCH).name == "z-matcher"
        assert not found.is_default(found.get("a-matcher", Task.MATCH))
    async with catalog(repository, defaults={Task.MATCH: NAME}) as found:
        with pytest.raises(FailedPrecondition):
            found.get("", Task.MATCH)


async def test_a_model_that_lacks_the_parts_says_what_it_can(repository: Path) -> None:
    write_matcher(repository, "matcher")
    async with catalog(repository) as found:
        for name, task in (("matcher", Task.EMBED), (NAME, Task.MATCH)):
            with pytest.raises(FailedPrecondition) as caught:
                found.get(name, task)
            assert (caught.value.reason, caught.value.field) == ("TASK_NOT_SUPPORTED", "model")
        with pytest.raises(FailedPrecondition, match="image-text matching"):
            found.get("matcher", None).encoder(Role.TEXT)
        with pytest.raises(FailedPrecondition, match="no encoder of the role itm"):
            found.get(NAME).encoder(Role.ITM)
        with pytest.raises(NotFound, match="for image-text matching are: matcher"):
            found.get("none", Task.MATCH)
        with pytest.raises(NotFound, match="the server has no model for text about pictures"):
            found.get("", Task.VISION_LANGUAGE)


async def test_encoders_of_a_generator_that_is_missing_do_not_generate(repository: Path) -> None:
    write_prefix(repository / "reader-prefix", "reader")
    write_vision(repository / "reader-vision", "reader")
    async with catalog(repository) as found:
        with pytest.raises(FailedPrecondition, match="it serves nothing"):
            found.get("reader", Task.VISION_LANGUAGE)


async def test_a_generator_that_cannot_be_read_is_the_servers_fault(
    repository: Path, tmp_path: Path
) -> None:
    write_prefix(repository / "reader-prefix", "reader")
    write_vision(repository / "reader-vision", "reader")
    decoder = await generator(tmp_path / "reader", layers="many")
    async with catalog(repository, generators=[decoder]) as found:
        await found.check(Task.EMBED)
        for name in ("", "reader"):
            with pytest.raises(Unavailable, match="layers"):
                found.get(name, Task.VISION_LANGUAGE)
        with pytest.raises(Unavailable, match="layers"):
            await found.check(Task.VISION_LANGUAGE)


async def test_a_generator_that_does_not_fit_is_not_used(repository: Path, tmp_path: Path) -> None:
    write_prefix(repository / "reader-prefix", "reader")
    write_vision(repository / "reader-vision", "reader")
    decoder = await generator(tmp_path / "reader", space="blip_2:another")
    async with catalog(repository, generators=[decoder]) as found:
        model = found.get("reader", Task.VISION_LANGUAGE)
        with pytest.raises(Unavailable, match="blip_2:another"):
            found.generator(model)
        with pytest.raises(Unavailable, match="blip_2:another"):
            await found.check(Task.VISION_LANGUAGE)
        assert model.encoder(Role.VISION)


async def test_a_generator_without_encoders_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    decoder = await generator(tmp_path / "writer", model="writer", space="", family="llama")
    async with catalog(tmp_path / "models", generators=[decoder]) as found:
        model = found.get("writer", None)
        assert (model.family, model.source, model.dimension) == ("llama", "tests", 0)
        with pytest.raises(FailedPrecondition):
            found.get("writer", Task.VISION_LANGUAGE)


async def test_check_asks_every_part_that_the_task_needs(repository: Path, tmp_path: Path) -> None:
    write_prefix(repository / "reader-prefix", "reader")
    write_matcher(repository, "reader")
    decoder = await generator(tmp_path / "reader")  # its network is missing
    (repository / "reader-itm" / "1" / "model.onnx").write_bytes(b"no network")
    defaults = {Task.MATCH: "reader", Task.VISION_LANGUAGE: "reader"}
    async with catalog(repository, generators=[decoder], defaults=defaults) as found:
        await found.check(Task.EMBED)
        with pytest.raises(Unavailable, match="reader-itm"):
            await found.check(Task.MATCH)
        with pytest.raises(Unavailable, match="none"):
            await found.check(Task.VISION_LANGUAGE)


async def test_the_matchers_tokenizer_must_be_the_one_of_the_config(repository: Path) -> None:
    write_matcher(repository, "matcher")
    (repository / "matcher-itm" / "tokenizer.json").write_text("{}")
    async with catalog(repository) as found:
        model = found.get("matcher", Task.MATCH)
        with pytest.raises(Unavailable, match=r"tokenizer\.json"):
            model.encoder(Role.ITM)
        with pytest.raises(Unavailable, match=r"tokenizer\.json"):
            await found.check(Task.MATCH)
        assert model.encoder(Role.VISION)
