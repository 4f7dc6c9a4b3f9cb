"""A small data set for the commands that evaluate one."""

import pytest
from data_set import DataSet, write_data_set


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return write_data_set(tmp_path_factory.mktemp("data_set"))
