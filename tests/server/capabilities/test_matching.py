"""Texts against pictures, on a matcher that knows colours."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from calls import png
from tiny_blip2 import PATCHES, SIDE, WIDTH, write_matcher
from watched_engine import WatchedEngine

from triptych_server.capabilities.encoding import Encoding, Patches
from triptych_server.capabilities.matching import RUN_PAIRS, Matcher
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import Role
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.errors import InvalidArgument, ResourceExhausted
from triptych_server.media.content import EncodedImage, RawImage

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "bright": (255,) * 3}
THREADS, QUEUE_ROWS = 2, 64
LOGIT = {True: 8.0, False: -8.0}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    write_matcher(folder, "tiny")
    return folder


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
async def engine(repository: Path) -> AsyncIterator[OnnxEngine]:
    engine = OnnxEngine(repository, threads=THREADS, queue_rows=QUEUE_ROWS)
    await engine.load()
    yield engine
    await engine.close()


@pytest.fixture
async def catalog(engine: OnnxEngine, repository: Path) -> ModelCatalog:
    catalog = ModelCatalog(engine, repository)
    await catalog.refresh()
    return catalog


@pytest.fixture
def model(catalog: ModelCatalog) -> Model:
    return catalog.get("tiny", Task.MATCH)


@pytest.fixture
def matcher(engine: OnnxEngine, catalog: ModelCatalog, executor: ThreadPoolExecutor) -> Matcher:
    return Matcher(Encoding(engine, catalog, executor))


def pixels(colour: str, side: int = SIDE) -> np.ndarray:
    return np.full((side, side, 3), COLOURS[colour], np.uint8)


def raw(colour: str, side: int = SIDE) -> RawImage:
    return RawImage(side, side, pixels(colour, side).tobytes())


def probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def chances(*fits: bool) -> Sequence[object]:
    return [pytest.approx(probability(LOGIT[fit]), rel=1e-4) for fit in fits]


async def test_one_picture_against_many_texts(matcher: Matcher, model: Model) -> None:
    texts = ["red", "a very green thing in the garden today", "blue", "a red thing"]
    pairs = [(0, text) for text in range(len(texts))]
    matches = await matcher.match(model, [raw("red")], texts, pairs)
    assert matches.probabilities == chances(True, False, False, True)
    assert matches.errors == {}
    assert matches.times.inference_ns > 0


async def test_many_pictures_against_one_text(matcher: Matcher, model: Model) -> None:
    colours = ["red", "green", "blue"] * 20
    pairs = [(picture, 0) for picture in range(len(colours))]
    matches = await matcher.match(model, [raw(each) for each in colours], ["green"], pairs)
    assert matches.probabilities == chances(*(colour == "green" for colour in colours))


async def test_pairs_come_in_their_own_order(matcher: Matcher, model: Model) -> None:
    colours, texts = list(COLOURS)[:3], ["blue", "red", "green", "green " * 40]
    pairs = [(2, 0), (0, 0), (1, 3), (0, 1), (1, 2), (2, 3), (0, 1)] * RUN_PAIRS
    matches = await matcher.match(model, [raw(each) for each in colours], texts, pairs)
    fits = [texts[text].startswith(colours[picture]) for picture, text in pairs]
    assert [each is not None and each > 0.5 for each in matches.probabilities] == fits


async def test_nothing_to_match_is_no_work(matcher: Matcher, model: Model) -> None:
    assert (await matcher.match(model, [], [], [])).probabilities == []


async def test_files_raw_pictures_and_pixels_match_alike(matcher: Matcher, model: Model) -> None:
    image = EncodedImage(png(pixels("blue", 40)))
    pictures = [image, raw("blue", 24), await matcher.pixels(model, image)]
    matches = await matcher.match(model, pictures, ["blue"], [(0, 0), (1, 0), (2, 0)])
    assert matches.probabilities == chances(True, True, True)


async def test_patches_that_are_known_match_alike(
    matcher: Matcher, engine: OnnxEngine, model: Model
) -> None:
    vision, itm = model.encoder(Role.VISION), model.encoder(Role.ITM)
    inference = await engine.infer(vision.name, {"pixels": pixels("green")[np.newaxis]})
    known = Patches(inference.outputs["patches"], itm.patch_space)
    matches = await matcher.match(model, [raw("red"), known], ["green"], [(0, 0), (1, 0)])
    assert matches.probabilities == chances(False, True)


async def test_patches_that_are_not_finite_fail_alone(matcher: Matcher, model: Model) -> None:
    space = model.encoder(Role.ITM).patch_space
    spoilt = Patches(np.full((1, PATCHES, WIDTH), np.nan, np.float32), space)
    matches = await matcher.match(model, [spoilt, raw("green")], ["green"], [(0, 0), (1, 0)])
    assert matches.probabilities == [None, *chances(True)]
    assert {picture: error.reason for picture, error in matches.errors.items()} == {
        0: "ENCODER_FAILED"
    }


async def test_a_picture_that_cannot_be_decoded_fails_alone(matcher: Matcher, model: Model) -> None:
    pictures = [raw("red"), EncodedImage(b"no picture"), raw("green")]
    pairs = [(picture, text) for picture in range(3) for text in range(2)]
    matches = await matcher.match(model, pictures, ["red", "green"], pairs)
    sound = chances(True, False, False, True)
    assert matches.probabilities == [*sound[:2], None, None, *sound[2:]]
    assert list(matches.errors) == [1]
    assert isinstance(matches.errors[1], InvalidArgument)
    assert (matches.errors[1].field, matches.errors[1].reason) == ("encoded", "IMAGE_UNREADABLE")


async def test_the_engines_refusal_is_the_calls(
    engine: OnnxEngine, catalog: ModelCatalog, executor: ThreadPoolExecutor, model: Model
) -> None:
    watched = WatchedEngine(engine)
    matcher = Matcher(Encoding(watched, catalog, executor))
    pictures = [raw("red")] * 200
    pairs = [(picture, 0) for picture in range(200)]
    watched.gate.clear()
    calls = [asyncio.create_task(matcher.match(model, pictures, ["red"], pairs)) for _ in range(8)]
    await watched.wait_for(QUEUE_ROWS + THREADS + 1)  # one more than there is room for
    watched.gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert refused
    assert {type(each) for each in refused} == {ResourceExhausted}
    assert (await matcher.match(model, pictures[:1], ["red"], [(0, 0)])).probabilities


async def test_numbers_that_are_not_finite_are_an_error_of_their_picture(tmp_path: Path) -> None:
    write_matcher(tmp_path, "tiny")
    network = tmp_path / "tiny-itm" / "1" / "model.onnx"
    graph = onnx.load(network)
    table = next(each for each in graph.graph.initializer if each.name == "table")
    words = onnx.numpy_helper.to_array(table).copy()
    words[2] = (np.inf, 0, 0)  # `red`: infinite for red pictures, NaN for those without red
    table.CopyFrom(onnx.numpy_helper.from_array(words, "table"))
    onnx.save(graph, network)
    engine = OnnxEngine(tmp_path, threads=1, queue_rows=64)
    await engine.load()
    catalog = ModelCatalog(engine, tmp_path)
    await catalog.refresh()
    with ThreadPoolExecutor(1) as executor:
        matcher = Matcher(Encoding(engine, catalog, executor))
        matches = await matcher.match(
            catalog.get("", Task.MATCH),
            [raw("red"), raw("green"), raw("blue")],
            ["red", "green"],
            [(0, 0), (1, 0), (2, 1)],
        )
    await engine.close()
    assert matches.probabilities == [None, None, *chances(False)]
    assert {error.reason for error in matches.errors.values()} == {"ENCODER_FAILED"}
