"""The shipped models that score, and a tiny one that writes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mils_models import Models, open_models
from proposing import NotingGenerator, language_of, write_writer

from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.settings import SHIPPED_REPOSITORY


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with open_models(SHIPPED_REPOSITORY) as models:
        yield models


@pytest.fixture(scope="session")
def writer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_writer(tmp_path_factory.mktemp("generators")).folder


@pytest.fixture
async def generator(writer_folder: Path) -> NotingGenerator:
    generator = NotingGenerator(writer_folder)
    await generator.load()
    return generator


@pytest.fixture
async def writer(generator: NotingGenerator) -> AsyncIterator[LanguageModel]:
    async with language_of(generator) as language:
        yield language
