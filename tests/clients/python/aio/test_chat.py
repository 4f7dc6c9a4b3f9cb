"""Chats of the asyncio client: pieces as they come, and how they end."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from triptych import FinishReason, errors
from triptych.aio import Client

WAIT_S = 30  # of a test that would fail
RED = np.zeros((4, 4, 3), np.uint8)


async def test_an_answer_comes_in_pieces_and_ends(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        stream = client.chat([RED, "one two three"])
        assert talker.requests == []
        assert [piece async for piece in stream] == ["one ", "two ", "three "]
    assert stream.text == "one two three "
    assert stream.end is not None
    assert stream.end.finish_reason is FinishReason.STOP


async def test_closing_cancels_the_call_and_keeps_what_came(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        async with aclosing(client.chat("one wait two")) as stream:
            assert await anext(stream) == "one "
        assert await asyncio.to_thread(talker.ended.wait, WAIT_S)
    assert ([piece async for piece in stream], stream.text, stream.end) == ([], "one ", None)


async def test_leaving_the_block_cancels_the_call(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        async with client.chat("one wait two") as stream:
            await anext(stream)
        assert await asyncio.to_thread(talker.ended.wait, WAIT_S)


async def test_cancelling_the_reader_cancels_the_call(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        stream = client.chat("one wait two")
        await anext(stream)
        reader = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.to_thread(talker.ended.wait, WAIT_S)
    assert stream.text == "one "


async def test_an_error_on_the_way_is_raised_and_leaves_the_text(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        stream = client.chat("one two fail three")
        with pytest.raises(errors.UnavailableError, match="gone"):
            await stream.read()
    assert (stream.text, stream.end) == ("one two ", None)


async def test_an_answer_that_falls_silent_runs_into_the_deadline(serve: Any, talker: Any) -> None:
    async with Client(serve(talker), timeout=2) as client:
        stream = client.chat("one wait")
        with pytest.raises(errors.DeadlineExceededError, match="no answer came for 2 s"):
            await stream.read()
        assert await asyncio.to_thread(talker.ended.wait, WAIT_S)
    assert stream.text == "one "


async def test_a_conversation_sends_what_was_said_before(serve: Any, talker: Any) -> None:
    async with Client(serve(talker)) as client:
        conversation = client.conversation(RED)
        for question in ("one", "two", "three"):
            await conversation.ask(question).read()
    said = [message.contents[-1].text for message in talker.requests[-1].messages]
    assert said == ["one", "one ", "two", "two ", "three"]


async def test_captions_and_answers_are_as_the_blocking_client_gives_them(
    serve: Any, talker: Any
) -> None:
    async with Client(serve(talker)) as client:
        captions = await client.caption([b"a picture", b"bad"], prompt="a", num_captions=2)
        answer = await client.answer(RED, "what?", choices=["yes", "no"])
    assert [caption.text for caption in captions[0].captions] == ["a number 0", "a number 1"]
    assert captions[1].error is not None
    assert (answer.text, [score.choice for score in answer.choices]) == ("no", ["yes", "no"])
