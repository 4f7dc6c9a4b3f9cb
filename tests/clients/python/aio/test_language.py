"""The asyncio client's captions, answers and chats are those of the blocking one."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from language import TWO_STEP

import triptych
from triptych import Generation, errors
from triptych.aio import Client

RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)
SAMPLED = Generation(temperature=1, seed=7, max_tokens=6)


@pytest.fixture
async def client(language_gateway: str) -> AsyncIterator[Client]:
    async with Client(language_gateway) as client:
        yield client


@pytest.fixture(scope="module")
def blocking(language_gateway: str) -> Iterator[triptych.Client]:
    with triptych.Client(language_gateway) as client:
        yield client


async def test_captions_are_the_same(client: Client, blocking: triptych.Client) -> None:
    options: dict[str, Any] = {"num_captions": 3, "generation": SAMPLED, "itm": TWO_STEP}
    pictures = np.random.default_rng(1).integers(0, 256, (66, 8, 8, 3), np.uint8)
    theirs = blocking.caption(pictures, **options)
    ours = await client.caption(pictures, **options)
    assert ours.usage == theirs.usage
    for mine, other in zip(ours, theirs, strict=True):
        assert [each.text for each in mine.captions] == [each.text for each in other.captions]
        assert all(each.itm_score is not None for each in mine.captions)


async def test_answers_are_the_same(client: Client, blocking: triptych.Client) -> None:
    for choices in ((), ("red", "two")):
        ours = await client.answer(RED, "what is it?", choices=choices)
        theirs = blocking.answer(RED, "what is it?", choices=choices)
        assert (ours.text, len(ours.choices)) == (theirs.text, len(theirs.choices))
        assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-3)


async def test_chats_are_the_same(client: Client, blocking: triptych.Client) -> None:
    ours, theirs = (each.conversation(RED, generation=SAMPLED) for each in (client, blocking))
    for question in ("what is it?", "and what else?"):
        mine, other = ours.ask(question), theirs.ask(question)
        assert [piece async for piece in mine] == list(other)
        assert mine.end is not None
        assert other.end is not None
        assert mine.end.usage == other.end.usage
    assert len(ours.messages) == 4


async def test_refusals_are_the_same(client: Client) -> None:
    with pytest.raises(errors.NotFoundError):
        await client.chat([RED, "what?"], model="missing").read()
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await client.caption(RED, num_captions=2)
    assert caught.value.field == "num_captions"
