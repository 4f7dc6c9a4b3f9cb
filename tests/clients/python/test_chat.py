"""Chats of the blocking client: pieces as they come, and how they end."""

import gc
import threading
from typing import Any

import numpy as np
import pytest

from triptych import ChatMessage, ChatRole, Client, FinishReason, errors

WAIT_S = 30  # of a test that would fail
RED = np.zeros((4, 4, 3), np.uint8)


def said(request: Any) -> list[str]:
    return [message.contents[-1].text for message in request.messages]


def test_an_answer_comes_in_pieces_and_ends(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        stream = client.chat([RED, "one two three"])
        assert list(stream) == ["one ", "two ", "three "]
    assert stream.text == "one two three "
    assert stream.end is not None
    assert stream.end.finish_reason is FinishReason.STOP
    assert [message.role for message in stream.messages] == [ChatRole.USER, ChatRole.ASSISTANT]
    assert stream.messages[-1].contents == ("one two three ",)


def test_pieces_come_while_the_answer_is_being_written(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client, client.chat("one wait") as stream:
        assert next(stream) == "one "
        assert (stream.text, stream.end) == ("one ", None)


def test_nothing_is_sent_before_the_first_piece_is_asked_for(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        stream = client.chat("one")
        assert talker.requests == []
        assert stream.read() == "one "
        assert len(talker.requests) == 1


def close(stream: Any) -> None:
    stream.close()


def leave(stream: Any) -> None:
    with stream:
        pass


@pytest.mark.parametrize("end", [close, leave])
def test_closing_cancels_the_call_and_keeps_what_came(serve: Any, talker: Any, end: Any) -> None:
    with Client(serve(talker)) as client:
        stream = client.chat("one wait two")
        assert next(stream) == "one "
        end(stream)
        assert talker.ended.wait(WAIT_S)
        assert (list(stream), stream.text, stream.end) == ([], "one ", None)


def test_a_stream_that_is_dropped_cancels_the_call(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        next(client.chat("one wait two"))
        gc.collect()
        assert talker.ended.wait(WAIT_S)


def test_an_error_on_the_way_is_raised_and_leaves_the_text(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        stream = client.chat("one two fail three")
        with pytest.raises(errors.UnavailableError, match="gone"):
            stream.read()
    assert (stream.text, stream.end) == ("one two ", None)
    assert len(talker.requests) == 1


def test_an_answer_that_falls_silent_runs_into_the_deadline(serve: Any, talker: Any) -> None:
    with Client(serve(talker), timeout=2) as client:
        stream = client.chat("one wait")
        with pytest.raises(errors.DeadlineExceededError, match="no answer came for 2 s"):
            stream.read()
        assert talker.ended.wait(WAIT_S)
    assert stream.text == "one "


def test_a_reader_may_take_longer_than_the_timeout(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client, client.chat("one two", timeout=2) as stream:
        next(stream)
        threading.Event().wait(2.5)
        assert stream.read() == "one two "


def test_a_chat_is_begun_again_until_its_first_piece(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client, pytest.raises(errors.UnavailableError):
        client.chat("fail").read()
    assert len(talker.requests) == 5


def test_a_conversation_sends_what_was_said_before(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        conversation = client.conversation(RED, model="m")
        assert conversation.ask("one").read() == "one "
        conversation.ask("two").read()
        conversation.ask("three").read()
    first, second, third = talker.requests
    assert (said(first), said(second)) == (["one"], ["one", "one ", "two"])
    assert said(third) == ["one", "one ", "two", "two ", "three"]
    pictures = [len(message.contents) - 1 for message in third.messages]
    assert pictures == [1, 0, 0, 0, 0]
    assert third.model == "m"
    assert len(conversation.messages) == 6


def test_a_conversation_keeps_half_answers_and_forgets_questions_without(
    serve: Any, talker: Any
) -> None:
    with Client(serve(talker)) as client:
        conversation = client.conversation(RED)
        with pytest.raises(errors.UnavailableError):
            conversation.ask("fail").read()
        with pytest.raises(errors.UnavailableError):
            conversation.ask("one fail").read()
        conversation.ask("unheard")
        conversation.ask("two").read()
    last = talker.requests[-1]
    assert said(last) == ["one fail", "one ", "two"]
    assert len(last.messages[0].contents) == 2


def test_a_conversation_that_is_reset_keeps_its_pictures(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        conversation = client.conversation(RED)
        conversation.ask("one").read()
        conversation.reset()
        assert conversation.messages == ()
        conversation.ask("two").read()
    assert said(talker.requests[-1]) == ["two"]
    assert len(talker.requests[-1].messages[0].contents) == 2


def test_a_conversation_goes_on_by_hand(serve: Any, talker: Any) -> None:
    with Client(serve(talker)) as client:
        stream = client.chat([RED, "one"])
        stream.read()
        client.chat([*stream.messages, ChatMessage.user("two")]).read()
    assert said(talker.requests[-1]) == ["one", "one ", "two"]
