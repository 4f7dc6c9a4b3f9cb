"""Whose features a caller gets while models are exchanged on a real Triton."""

import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import IMAGE, write_image_encoder
from tritonclient.grpc.aio import InferenceServerClient
from tritonserver import TritonServer

from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.engines.encoders import Role
from triptych_server.engines.encoders.triton import TritonEngine
from triptych_server.errors import Unavailable

pytestmark = pytest.mark.engines

PICTURE = {"pixels": np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("exchanged")
    write_image_encoder(repository / "image")
    with TritonServer(repository) as server:
        yield server


@pytest.fixture
async def engine(server: TritonServer) -> AsyncIterator[TritonEngine]:
    engine = TritonEngine(server.grpc)
    yield engine
    await engine.close()


async def exchange(repository: Path, address: str, version: int, space: str) -> None:
    shutil.rmtree(repository / "image")
    parameters = IMAGE | {"space": f"clip:{space}"}
    write_image_encoder(repository / "image", version=version, parameters=parameters)
    async with InferenceServerClient(address) as client:
        await client.load_model("image")


@pytest.mark.parametrize("version", [1, 2])
async def test_features_of_another_space_are_not_passed_off_as_those_of_the_model(
    server: TritonServer, engine: TritonEngine, version: int
) -> None:
    await exchange(server.repository, server.grpc, 1, "old")
    catalog = ModelCatalog(engine, server.repository)
    await catalog.refresh()
    with ThreadPoolExecutor(1) as executor:
        encoding = Encoding(engine, catalog, executor)
        old = catalog.get("tiny")
        await encoding.infer(old, old.encoder(Role.IMAGE), PICTURE)

        await exchange(server.repository, server.grpc, version, "new")
        if version == 1:
            await engine.ready("image")  # the health check notices, and this call knows the old
        with pytest.raises(Unavailable) as caught:
            await encoding.infer(old, old.encoder(Role.IMAGE), PICTURE)
        assert caught.value.reason == "MODEL_EXCHANGED"

        new = catalog.get("tiny")
        assert new.space == "clip:new"
        inference = await encoding.infer(new, new.encoder(Role.IMAGE), PICTURE)
        assert inference.version == str(version)
