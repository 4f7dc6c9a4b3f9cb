"""A server that is no vLLM, unless a test has it answer as one."""

from collections.abc import Iterator

import pytest
from strangers import Stranger, running


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with running() as server:
        yield server
