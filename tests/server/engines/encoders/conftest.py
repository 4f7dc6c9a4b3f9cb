"""A model repository of tiny encoders, and every engine on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tiny_blip2 import write_itm
from tiny_encoders import SLOW_STEPS, write_image_encoder, write_text_encoder
from tritonserver import TritonServer

from triptych_server.engines.encoders import EncoderEngine
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.encoders.triton import TritonEngine


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`image` and `text`; `itm`, which is not batched; `slow`, one picture at a time; and
    `stranger`, which has no role."""
    folder = tmp_path_factory.mktemp("repository")
    write_image_encoder(folder / "image")
    write_text_encoder(folder / "text")
    write_itm(folder / "itm", "tiny-itm")
    write_image_encoder(folder / "slow", steps=SLOW_STEPS, max_batch_size=1)
    write_image_encoder(folder / "stranger", parameters={})
    return folder


@pytest.fixture(scope="session")
def tritonserver(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(repository) as server:
        yield server


@pytest.fixture(scope="session")
def second_tritonserver(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(repository) as server:
        yield server


@pytest.fixture(
    params=[
        "onnx",
        pytest.param("triton", marks=pytest.mark.engines),
        pytest.param("triton-two", marks=pytest.mark.engines),
    ]
)
async def engine(request: pytest.FixtureRequest, repository: Path) -> AsyncIterator[EncoderEngine]:
    """Each encoder engine in turn, with one worker an encoder: in process, one Triton, and two."""
    if request.param == "onnx":
        engine = OnnxEngine(repository, threads=1, queue_rows=1024)
        await engine.load()
    else:
        servers = ["tritonserver"]
        if request.param == "triton-two":
            servers.append("second_tritonserver")
        engine = TritonEngine(",".join(request.getfixturevalue(name).grpc for name in servers))
    yield engine
    await engine.close()
