"""The asyncio client gives what the blocking one gives, call by call."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triptych
from triptych import Item, Search, Term, errors
from triptych.aio import streams


@pytest.fixture
async def client(gateway: str) -> AsyncIterator[triptych.aio.Client]:
    async with triptych.aio.Client(gateway) as client:
        await client.wait_ready(10)
        yield client


@pytest.fixture(scope="module")
def blocking(gateway: str) -> Iterator[triptych.Client]:
    with triptych.Client(gateway) as client:
        yield client


@pytest.fixture(scope="module")
def circles(blocking: triptych.Client, pictures: Path) -> Iterator[str]:
    name = f"circles-{uuid.uuid4().hex[:12]}"
    blocking.collections.create(name)
    paths = sorted((pictures / "circles").iterdir())
    answers = blocking.upsert(name, (Item(path.stem, content=path) for path in paths))
    assert all(answer.created for answer in answers)
    yield name
    blocking.collections.delete(name)


def comparable(value: Any) -> Any:
    """The value without what differs from call to call: timing and object identity."""
    match value:
        case np.ndarray():
            return np.round(value, 4).tolist()
        case triptych.TriptychError():
            return (type(value), value.args)
        case float():
            return round(value, 4)
        case list() | tuple():
            return [comparable(element) for element in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            names = [name for name in value.__dataclass_fields__ if name != "timing"]
            return {name: comparable(getattr(value, name)) for name in names}
        case _:
            return value


UNARY = {
    "embed": lambda c, name, red: c.embed(["a red circle", red, b"no picture"]),
    "embed many": lambda c, name, red: c.embed(["a red circle"] * 260),
    "rank": lambda c, name, red: c.rank(red, ["a red circle", "a blue circle"]),
    "search": lambda c, name, red: c.search(name, [Term(red), Term("blue", 0.5)], limit=4),
    "batch": lambda c, name, red: c.batch_search([Search(name, red), Search("missing", "a")]),
    "collection": lambda c, name, red: c.collections.get(name),
    "item": lambda c, name, red: c.items.get(name, "red", include_vector=True),
    "deletion": lambda c, name, red: c.items.delete(name, ["missing", "absent"]),
    "model": lambda c, name, red: c.models.get(),
}


@pytest.mark.parametrize("call", UNARY.values(), ids=UNARY.keys())
async def test_calls_give_the_same(
    client: triptych.aio.Client,
    blocking: triptych.Client,
    circles: str,
    pictures: Path,
    call: Any,
) -> None:
    red = pictures / "circles" / "red.png"
    assert comparable(await call(client, circles, red)) == comparable(call(blocking, circles, red))


LISTS = {
    "collections": lambda c, name: c.collections.list(),
    "items": lambda c, name: c.items.list(name),
    "models": lambda c, name: c.models.list(),
}


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS.keys())
async def test_lists_give_the_same(
    client: triptych.aio.Client, blocking: triptych.Client, circles: str, call: Any
) -> None:
    listed = [value async for value in call(client, circles)]
    assert listed
    assert comparable(listed) == comparable(list(call(blocking, circles)))


async def test_a_collection_is_made_written_and_deleted(client: triptych.aio.Client) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    created = await client.collections.create(name)
    vectors = np.eye(created.dimension, dtype=np.float32)[:50]
    items = [Item(str(position), vector=vector) for position, vector in enumerate(vectors)]
    answers = [answer.id async for answer in client.upsert(name, items)]
    assert answers == [item.id for item in items]
    assert (await client.search(name, vectors[7], limit=1))[0].item.id == "7"
    await client.collections.delete(name)
    with pytest.raises(errors.NotFoundError):
        await client.collections.get(name)


async def test_a_stream_answers_every_content_by_its_id(client: triptych.aio.Client) -> None:
    texts = {str(number): f"a circle number {number}" for number in range(30)}
    answers = {a.id: a.vector async for a in client.stream_embed(texts.items())}
    expected = (await client.embed(texts.values())).vectors
    np.testing.assert_allclose(np.stack([answers[key] for key in texts]), expected, atol=1e-5)


async def test_upsert_into_no_collection_is_not_found_however_much_is_sent(
    client: triptych.aio.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEAD_START_S", 60)  # the gateway may be busy
    for count in (1, 5, 200):
        items = [Item(str(i), vector=np.ones(128, np.float32)) for i in range(count)]
        for _ in range(5):
            with pytest.raises(errors.NotFoundError):
                [answer async for answer in client.upsert("nowhere", items)]
