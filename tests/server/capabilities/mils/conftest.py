"""The shipped models that score."""

from collections.abc import AsyncIterator

import pytest
from mils_models import Models, open_models

from triptych_server.settings import SHIPPED_REPOSITORY


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with open_models(SHIPPED_REPOSITORY) as models:
        yield models
