"""Several Tritons behind one engine: one that ends, and models exchanged on one after another."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import IMAGE, SLOW_STEPS, write_image_encoder
from tritonclient.grpc.aio import InferenceServerClient
from tritonserver import TritonServer

from triptych_server.engines.encoders import Inference
from triptych_server.engines.encoders.triton import TritonEngine, channels, replica
from triptych_server.errors import Unavailable

pytestmark = pytest.mark.engines

CALLERS = 16
PICTURE = {"pixels": np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)}
# More than gRPC keeps for a retry unless it is told to: 256 KiB.
PICTURES = {"pixels": np.zeros((2048, 8, 8, 3), np.uint8)}

Pair = tuple[TritonServer, TritonServer]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two Tritons, each with a repository of its own: `image`, and `wide` of large batches."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        write_image_encoder(folder / "image", steps=SLOW_STEPS)
        write_image_encoder(folder / "wide", steps=100, max_batch_size=2048)
    with TritonServer(folders[0]) as first, TritonServer(folders[1]) as second:
        yield first, second


@pytest.fixture
async def engine(pair: Pair) -> AsyncIterator[TritonEngine]:
    addresses = ",".join(server.grpc for server in pair)
    engine = TritonEngine(addresses, queue_rows=CALLERS * 2048)
    yield engine
    await engine.close()


class Load:
    """Callers that ask again as soon as they are answered, as long as the block lasts. The engine
    is asked for its encoders besides, as the health check of the gateway does."""

    def __init__(
        self, engine: TritonEngine, encoder: str, inputs: Mapping[str, np.ndarray]
    ) -> None:
        self._engine = engine
        self._request = (encoder, inputs)
        self._ended = False
        self.inferences: list[Inference] = []

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._call()) for _ in range(CALLERS)]
        self._tasks.append(asyncio.create_task(self._check()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)

    async def answers(self, count: int) -> None:
        """Return when so many more requests were answered; raise what one failed of."""
        async with asyncio.timeout(30):
            wanted = len(self.inferences) + count
            while len(self.inferences) < wanted:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def _call(self) -> None:
        while not self._ended:
            self.inferences.append(await self._engine.infer(*self._request))

    async def _check(self) -> None:
        while not self._ended:
            await self._engine.encoders()
            await asyncio.sleep(0.1)


async def exchange(server: TritonServer, encoder: str, *, version: int, space: str) -> None:
    """Replace the encoder by one with other weights."""
    shutil.rmtree(server.repository / encoder, ignore_errors=True)
    write_image_encoder(
        server.repository / encoder,
        version=version,
        seed={"old": 1, "new": 2}[space],
        parameters=IMAGE | {"space": f"clip:{space}"},
    )
    async with InferenceServerClient(server.grpc) as client:
        await client.load_model(encoder)


def close_to(features: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.allclose(features, expected, atol=1e-5))


async def features_of(server: TritonServer, encoder: str) -> np.ndarray:
    """What this Triton alone answers."""
    engine = TritonEngine(server.grpc)
    inference = await engine.infer(encoder, PICTURE)
    await engine.close()
    return inference.outputs["features"]


@pytest.mark.parametrize(
    ("end", "encoder", "inputs"),
    [
        (TritonServer.kill, "image", PICTURE),
        (TritonServer.kill, "wide", PICTURES),
        (TritonServer.stop, "image", PICTURE),
    ],
    ids=["killed", "killed-with-large-requests", "shut-down"],
)
async def test_no_request_fails_when_one_ends_and_it_gets_its_share_once_it_is_back(
    pair: Pair,
    engine: TritonEngine,
    end: Callable[[TritonServer], None],
    encoder: str,
    inputs: Mapping[str, np.ndarray],
) -> None:
    ended, other = pair
    async with Load(engine, encoder, inputs) as load:
        await load.answers(4 * CALLERS)
        assert min(server.statistics(encoder).requests for server in pair) > CALLERS
        await asyncio.to_thread(end, ended)  # with half of the callers' requests
        await load.answers(4 * CALLERS)
        await asyncio.to_thread(ended.start)
        before = other.statistics(encoder).requests
        async with asyncio.timeout(30):
            while ended.statistics(encoder).requests < CALLERS:
                await load.answers(1)
        assert other.statistics(encoder).requests > before
    assert {each.version for each in load.inferences} == {"1"}


async def test_no_request_fails_when_one_hangs(
    pair: Pair, engine: TritonEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(channels, "GRACE_S", 0.5)
    async with Load(engine, "image", PICTURE) as load:
        await load.answers(4 * CALLERS)
        with pair[0].suspended():
            await load.answers(4 * CALLERS)
        before = pair[0].statistics("image").requests
        async with asyncio.timeout(30):
            while pair[0].statistics("image").requests < before + CALLERS:
                await load.answers(1)


async def test_an_encoder_is_ready_until_the_last_is_lost(
    pair: Pair, engine: TritonEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await engine.ready("image")
    pair[0].kill()
    for _ in range(3):
        await engine.ready("image")
        assert await engine.encoders() == ["image", "wide"]
    pair[1].kill()
    for _ in range(3):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            await engine.ready("image")
        assert caught.value.retry_after is not None
    for server in pair:
        server.start()
    async with asyncio.timeout(30):
        while len([line for line in told(caplog) if line.endswith("answers")]) < 2:
            with contextlib.suppress(Unavailable):
                await engine.ready("image")
    for server in pair:
        [lost, back] = [line for line in told(caplog) if server.grpc in line]
        assert lost.startswith(f"Triton at {server.grpc} does not answer")
        assert back == f"Triton at {server.grpc} answers"


def told(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.message for record in caplog.records if record.message.startswith("Triton")]


async def test_features_are_those_of_their_version_while_it_is_exchanged(
    pair: Pair, engine: TritonEngine
) -> None:
    for server in pair:
        await exchange(server, "rolling", version=1, space="old")
    expected = {"1": await features_of(pair[0], "rolling")}
    async with Load(engine, "rolling", PICTURE) as load:
        await load.answers(CALLERS)
        for server in pair:
            await exchange(server, "rolling", version=2, space="new")
            await load.answers(4 * CALLERS)
        expected["2"] = await features_of(pair[0], "rolling")
    assert not close_to(expected["1"], expected["2"])
    for inference in load.inferences:
        assert close_to(inference.outputs["features"], expected[inference.version])
    assert load.inferences[-1].version == "2"
    assert (await engine.spec("rolling")).space == "clip:new"


async def test_a_version_that_is_gone_unnoticed_is_asked_for_on_the_other(
    pair: Pair, engine: TritonEngine
) -> None:
    """Here nothing reads the models again but what fails."""
    for server in pair:
        await exchange(server, "unnoticed", version=1, space="old")
    old = await features_of(pair[0], "unnoticed")
    assert (await engine.spec("unnoticed")).version == "1"
    await exchange(pair[1], "unnoticed", version=2, space="new")
    new = await features_of(pair[1], "unnoticed")
    for _ in range(20):
        inference = await engine.infer("unnoticed", PICTURE)
        assert inference.version == (await engine.spec("unnoticed")).version
        expected = old if inference.version == "1" else new
        assert close_to(inference.outputs["features"], expected)


async def test_other_weights_under_the_same_version_are_not_mixed(
    pair: Pair, engine: TritonEngine, caplog: pytest.LogCaptureFixture
) -> None:
    for server in pair:
        await exchange(server, "same", version=1, space="old")
    old = await features_of(pair[0], "same")
    await engine.ready("same")

    await exchange(pair[1], "same", version=1, space="new")
    await engine.ready("same")
    assert f"Triton at {pair[1].grpc} has other weights and is left out" in caplog.text
    for _ in range(4):
        assert close_to((await engine.infer("same", PICTURE)).outputs["features"], old)

    await exchange(pair[0], "same", version=1, space="new")
    await engine.ready("same")
    new = await features_of(pair[0], "same")
    for _ in range(4):
        assert close_to((await engine.infer("same", PICTURE)).outputs["features"], new)
    assert (await engine.spec("same")).space == "clip:new"


async def test_a_name_stands_for_a_triton_too(pair: Pair, tmp_path: Path) -> None:
    port = pair[0].grpc.rpartition(":")[2]
    engine = TritonEngine(f"localhost:{port}")
    assert (await engine.infer("image", PICTURE)).version == "1"
    await engine.close()

    nowhere = TritonEngine("triton.invalid:8001")
    with pytest.raises(Unavailable, match=r"triton\.invalid cannot be resolved"):
        await nowhere.ready("image")
    await nowhere.close()
