"""Texts encoded once for all who ask, on the shipped model."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mils_models import CLIP, QUEUE_ROWS, TEXT, Models, open_models
from scenes import Scenes

from triptych_server import deadline
from triptych_server.capabilities.encoding import SHORT_TEXT
from triptych_server.capabilities.mils.scorer import Embedded, Vectors
from triptych_server.capabilities.mils.text_runs import EAGER_RUNS, RUN_TEXTS
from triptych_server.capabilities.mils.text_vectors import SLICE, TextVectors
from triptych_server.errors import Internal, Unavailable
from triptych_server.media.content import Text
from triptych_server.settings import SHIPPED_REPOSITORY

COLOURS = ("red", "green", "blue", "yellow", "white", "black", "pink", "grey")
CIRCLES = [f"a {colour} circle" for colour in COLOURS]
STARS = [f"a {colour} star" for colour in COLOURS]


async def embedded(models: Models, texts: Sequence[str]) -> Vectors:
    """As Embed embeds them."""
    return np.stack(
        [(await models.embedder.embed(models.clip, Text(text))).vector for text in texts]
    )


def counts(found: Embedded) -> tuple[int, int]:
    return found.cost.encoded_texts, found.cost.known_texts


async def begun(
    models: Models, vectors: TextVectors, texts: Sequence[str], *, runs: int
) -> asyncio.Task[Embedded]:
    """A call whose runs are held back by the gate; `runs` of them are with the engine."""
    models.engine.gate.clear()
    task = asyncio.create_task(vectors.encode(models.clip, texts))
    await models.engine.wait_for(runs)
    return task


async def joined(
    models: Models, vectors: TextVectors, texts: Sequence[str]
) -> asyncio.Task[Embedded]:
    """A call all of whose texts are under way."""
    task = asyncio.create_task(vectors.encode(models.clip, texts))
    await asyncio.sleep(0)  # it runs as far as it can
    return task


async def cancel(task: asyncio.Task[Embedded]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_vectors_are_those_of_embed(models: Models, scenes: Scenes) -> None:
    texts = [*scenes.english[:20], *CIRCLES, "red " * 200, "circle", *scenes.chinese[:4]]
    found = await models.vectors().encode(models.clip, texts)
    assert found.vectors is not None
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, await embedded(models, texts), atol=1e-6)


async def test_known_texts_are_not_encoded_again(models: Models) -> None:
    vectors = models.vectors()
    first = await vectors.encode(models.clip, CIRCLES)
    assert counts(first) == (len(CIRCLES), 0)
    assert models.engine.rows(TEXT) == len(CIRCLES)
    second = await vectors.encode(models.clip, [*CIRCLES[::-1], "a star"])
    assert counts(second) == (1, len(CIRCLES))
    assert models.engine.rows(TEXT) == len(CIRCLES) + 1
    assert first.vectors is not None
    assert second.vectors is not None
    np.testing.assert_array_equal(second.vectors[:-1], first.vectors[::-1])


async def test_equal_texts_of_a_call_are_encoded_once(models: Models) -> None:
    found = await models.vectors().encode(models.clip, ["a star", "a circle", "a star"])
    assert counts(found) == (2, 1)
    assert models.engine.rows(TEXT) == 2
    assert found.vectors is not None
    np.testing.assert_array_equal(found.vectors[0], found.vectors[2])


async def test_white_space_tells_no_texts_apart_and_case_does(models: Models) -> None:
    vectors = models.vectors()
    found = await vectors.encode(models.clip, ["a red star", " a  red\tstar\n", "a Red star"])
    assert counts(found) == (2, 1)


async def test_nothing_to_encode_is_no_work(models: Models) -> None:
    found = await models.vectors().encode(models.clip, [])
    assert found.vectors is not None
    assert found.vectors.shape == (0, models.clip.dimension)
    assert counts(found) == (0, 0)


async def test_many_texts_come_in_their_order(models: Models) -> None:
    texts = [f"{text} {n}" for n in range(80) for text in CIRCLES + STARS]
    assert len(texts) > 2 * SLICE
    found = await models.vectors().encode(models.clip, texts)
    assert counts(found) == (len(texts), 0)
    some = range(0, len(texts), 111)
    assert found.vectors is not None
    expected = await embedded(models, [texts[place] for place in some])
    np.testing.assert_allclose(found.vectors[some], expected, atol=1e-6)


async def test_texts_of_one_length_go_to_the_engine_together(models: Models) -> None:
    long = [f"{text} in the top left on a white background" for text in CIRCLES]
    mixed = [text for pair in zip(CIRCLES, long, strict=True) for text in pair]
    await models.vectors().encode(models.clip, mixed)
    assert [run.rows for run in models.engine.runs] == [RUN_TEXTS, RUN_TEXTS]


async def test_an_encoder_gets_no_more_rows_than_it_takes(repository: Path) -> None:
    config = repository / TEXT / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: 3"))
    async with open_models(repository) as models:
        found = await models.vectors().encode(models.clip, CIRCLES)
        assert counts(found) == (8, 0)
        assert [run.rows for run in models.engine.runs] == [3, 3, 2]


async def test_texts_of_calls_that_come_together_meet_in_one_batch(models: Models) -> None:
    vectors = models.vectors()
    steps = [CIRCLES[:3], STARS[:5], CIRCLES[3:], STARS[5:]]
    calls = [asyncio.create_task(vectors.encode(models.clip, each)) for each in steps]
    found = await asyncio.gather(*calls)
    assert [counts(each) for each in found] == [(3, 0), (5, 0), (5, 0), (3, 0)]
    assert [run.rows for run in models.engine.runs] == [RUN_TEXTS, RUN_TEXTS]
    assert {each.cost.times.batch_size for each in found} == {RUN_TEXTS}


async def test_texts_that_come_while_others_are_encoded_meet(models: Models) -> None:
    vectors = models.vectors()
    early = [await begun(models, vectors, [f"a star {n}"], runs=1) for n in range(EAGER_RUNS)]
    late = [await joined(models, vectors, [text]) for text in (*CIRCLES, *STARS[:3])]
    await models.engine.wait_for(1)  # of those, a full run begins, and the rest waits for company
    late += [await joined(models, vectors, [text]) for text in STARS[3:5]]
    models.engine.gate.set()
    await asyncio.gather(*early, *late)
    rows = [run.rows for run in models.engine.runs]
    assert rows == [1] * EAGER_RUNS + [RUN_TEXTS, 5]


async def test_texts_of_another_length_wait_for_no_full_run(models: Models) -> None:
    vectors = models.vectors()
    early = [await begun(models, vectors, [f"a star {n}"], runs=1) for n in range(EAGER_RUNS)]
    longer = await begun(models, vectors, ["a star in the top left of a white picture"], runs=1)
    models.engine.gate.set()
    await asyncio.gather(*early, longer)


async def test_a_text_that_waits_for_company_is_not_encoded_once_nobody_wants_it(
    models: Models,
) -> None:
    vectors = models.vectors()
    early = [await begun(models, vectors, [f"a star {n}"], runs=1) for n in range(EAGER_RUNS)]
    late = [await joined(models, vectors, CIRCLES[first:4]) for first in range(2)]
    await cancel(late[0])
    models.engine.gate.set()
    await asyncio.gather(*early, late[1])
    assert models.engine.rows(TEXT) == EAGER_RUNS + 3


async def test_equal_texts_under_way_are_encoded_once(models: Models) -> None:
    vectors = models.vectors()
    first = await begun(models, vectors, CIRCLES, runs=1)
    others = [await joined(models, vectors, CIRCLES[4:]) for _ in range(3)]
    models.engine.gate.set()
    assert counts(await first) == (8, 0)
    assert [counts(each) for each in await asyncio.gather(*others)] == [(0, 4)] * 3
    assert models.engine.rows(TEXT) == 8


async def test_calls_that_begin_together_share_what_they_have_in_common(models: Models) -> None:
    vectors = models.vectors()
    texts = [CIRCLES + STARS[:each] for each in range(1, 9)]
    found = await asyncio.gather(*(vectors.encode(models.clip, each) for each in texts))
    assert models.engine.rows(TEXT) == len(CIRCLES + STARS)
    assert sum(each.cost.encoded_texts for each in found) == len(CIRCLES + STARS)
    assert [sum(counts(each)) for each in found] == [len(each) for each in texts]
    for each, own in zip(found, texts, strict=True):
        assert each.vectors is not None
        np.testing.assert_allclose(each.vectors, await embedded(models, own), atol=1e-6)


async def test_texts_that_take_a_while_to_prepare_are_encoded_once(
    models: Models, scenes: Scenes
) -> None:
    vectors, texts = models.vectors(), list(dict.fromkeys(scenes.english))
    assert sum(map(len, texts)) > SHORT_TEXT  # a thread tokenises them, for both calls at once
    found = await asyncio.gather(*(vectors.encode(models.clip, texts) for _ in range(2)))
    assert sum(each.cost.encoded_texts for each in found) == len(texts)
    assert models.engine.rows(TEXT) == len(texts)


async def test_who_leaves_takes_nothing_from_who_stays(models: Models) -> None:
    vectors = models.vectors()
    first = await begun(models, vectors, CIRCLES, runs=1)
    second = await joined(models, vectors, CIRCLES[:2])
    await cancel(first)
    models.engine.gate.set()
    found = (await second).vectors
    assert found is not None
    np.testing.assert_allclose(found, await embedded(models, CIRCLES[:2]), atol=1e-6)
    assert models.engine.given_up == 0


async def test_work_that_nobody_waits_for_is_given_up(models: Models) -> None:
    vectors = models.vectors()
    first = await begun(models, vectors, CIRCLES, runs=1)
    second = await joined(models, vectors, CIRCLES)
    await cancel(first)
    assert models.engine.given_up == 0
    second.cancel()
    third = await joined(models, vectors, CIRCLES)  # before the work has noticed
    models.engine.gate.set()
    assert counts(await third) == (8, 0)
    assert models.engine.given_up == 1
    assert models.engine.rows(TEXT) == 8


async def test_a_call_that_leaves_starts_no_more_work(models: Models) -> None:
    vectors = models.vectors(rows=RUN_TEXTS)
    call = await begun(models, vectors, CIRCLES + STARS, runs=1)
    await cancel(call)
    models.engine.gate.set()
    await vectors.encode(models.clip, ["a star"])
    assert [run.rows for run in models.engine.runs] == [1]


async def test_a_deadline_is_of_one_call_alone(models: Models) -> None:
    async def in_a_hurry() -> Embedded:
        deadline.end_in(1e-9)
        return await models.vectors().encode(models.clip, CIRCLES)

    await asyncio.create_task(in_a_hurry())
    assert models.engine.deadlines == [None]


async def test_no_more_rows_than_allowed_are_with_the_engine(models: Models) -> None:
    vectors = models.vectors(rows=2 * RUN_TEXTS)
    texts = [f"{text} {n}" for text in CIRCLES for n in range(8)]
    calls = [vectors.encode(models.clip, texts[first::2]) for first in range(2)]
    await asyncio.gather(*calls)
    assert models.engine.most_rows == 2 * RUN_TEXTS


async def test_texts_wait_where_the_queue_is_full() -> None:
    async with open_models(SHIPPED_REPOSITORY, queue_rows=RUN_TEXTS) as models:
        texts = [f"{text} {n}" for text in CIRCLES for n in range(8)]
        found = await models.vectors(rows=QUEUE_ROWS).encode(models.clip, texts)
        assert counts(found) == (len(texts), 0)
        assert models.engine.refused > 0


async def test_what_was_used_long_ago_is_forgotten_first(models: Models) -> None:
    vectors = models.vectors(capacity_bytes=9_000)  # eight texts
    await vectors.encode(models.clip, CIRCLES)
    await vectors.encode(models.clip, CIRCLES[:4])
    await vectors.encode(models.clip, STARS[:4])
    assert counts(await vectors.encode(models.clip, CIRCLES[:4])) == (0, 4)
    assert counts(await vectors.encode(models.clip, CIRCLES[4:])) == (4, 0)


async def test_what_is_not_to_be_remembered_is_encoded_anew(models: Models) -> None:
    vectors = models.vectors()
    await vectors.encode(models.clip, CIRCLES)
    for _ in range(2):
        found = await vectors.encode(models.clip, [*CIRCLES, "a star"], remember=False)
        assert counts(found) == (9, 0)
    assert counts(await vectors.encode(models.clip, [*CIRCLES, "a star"])) == (1, 8)


async def test_a_model_that_was_exchanged_gets_no_old_vectors(repository: Path) -> None:
    async with open_models(repository) as models:
        vectors, old = models.vectors(), models.clip
        before = (await vectors.encode(old, CIRCLES)).vectors
        exchange(repository)
        await models.onnx.load()
        models.engine.gate.clear()
        calls = [asyncio.create_task(vectors.encode(old, STARS)) for _ in range(2)]
        models.engine.gate.set()
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, Unavailable)
            assert error.reason == "MODEL_EXCHANGED"
        assert models.clip.space != old.space
        found = await vectors.encode(models.clip, CIRCLES)
        assert counts(found) == (8, 0)
        assert found.vectors is not None
        assert before is not None
        np.testing.assert_allclose(found.vectors, await embedded(models, CIRCLES), atol=1e-6)
        assert np.abs(found.vectors - before).max() > 0.1


async def test_numbers_that_are_not_finite_fail_their_text_alone(repository: Path) -> None:
    spoil_word(repository, "star")
    async with open_models(repository) as models:
        vectors = models.vectors()
        calls = (CIRCLES[:2], [*STARS[:1], *CIRCLES[2:]], CIRCLES[4:])
        found = await asyncio.gather(
            *(vectors.encode(models.clip, each) for each in calls), return_exceptions=True
        )
        assert [type(each) for each in found] == [Embedded, Internal, Embedded]
        assert counts(await vectors.encode(models.clip, CIRCLES)) == (0, 8)
        with pytest.raises(Internal):
            await vectors.encode(models.clip, STARS[:1])


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(CIRCLES + STARS)), st.integers(0, 12), st.booleans()),
        max_size=12,
    )
)
def test_calls_that_come_and_go_get_their_own_vectors(
    calls: list[tuple[list[str], int, bool]],
) -> None:
    """Each of some texts, cancelled after so many turns of the loop or left alone."""

    async def one(
        models: Models, vectors: TextVectors, texts: list[str], turns: int, stays: bool
    ) -> None:
        task = asyncio.create_task(vectors.encode(models.clip, texts))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not stays:
            task.cancel()
            await asyncio.wait([task])
            return
        found = await task
        assert sum(counts(found)) == len(texts)
        assert found.vectors is not None
        if texts:
            np.testing.assert_allclose(found.vectors, await embedded(models, texts), atol=1e-6)

    async def all_calls() -> None:
        async with open_models(SHIPPED_REPOSITORY, queue_rows=1024) as models:
            vectors = models.vectors(capacity_bytes=8_000, rows=16)
            async with asyncio.timeout(30):
                await asyncio.gather(*(one(models, vectors, *call) for call in calls))

    asyncio.run(all_calls())


def exchange(repository: Path) -> None:
    """Give the model other weights, of a space of their own."""
    change(repository, "text_projection.weight", lambda weight: -weight)
    for config in repository.glob(f"{CLIP}-*/config.pbtxt"):
        other, count = re.subn(r'"clip:[0-9a-f]{64}"', '"clip:another"', config.read_text())
        assert count == 1
        config.write_text(other)


def spoil_word(repository: Path, word: str) -> None:
    """Let the encoder give no numbers for texts with this word."""
    definition = json.loads((repository / TEXT / "tokenizer.json").read_text())
    token = definition["model"]["vocab"][word]

    def spoiled(table: np.ndarray) -> np.ndarray:
        table[token] = np.nan
        return table

    change(repository, "token_embedding.weight", spoiled)


def change(repository: Path, name: str, changed: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one tensor of the text encoder."""
    network = repository / TEXT / "1" / "model.onnx"
    model = onnx.load(network)
    [tensor] = [each for each in model.graph.initializer if each.name.endswith(name)]
    values = changed(onnx.numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, network)
