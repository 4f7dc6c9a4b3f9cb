"""`triptych chat`: questions from the input or from a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych.cli import app


@pytest.fixture
def chat(serve: Any, talker: Any, pictures: Path) -> Any:
    """Run a chat about a picture with lines of input and return its result."""
    target = serve(talker)

    def call(lines: str | bytes, *options: str, expect: int = 0) -> Any:
        command = ["chat", str(pictures / "circles" / "red.png"), *options, "--target", target]
        result = CliRunner().invoke(app, command, input=lines)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return call


def said(request: Any) -> list[str]:
    return [message.contents[-1].text for message in request.messages]


def test_each_line_is_a_question_that_knows_those_before(chat: Any, talker: Any) -> None:
    assert chat("one\n\n  two \nthree").stdout == "one \ntwo \nthree \n"
    assert said(talker.requests[-1]) == ["one", "one ", "two", "two ", "three"]


def test_chat_may_be_without_a_picture(serve: Any, talker: Any) -> None:
    result = CliRunner().invoke(app, ["chat", "--target", serve(talker)], input="one two\n")
    assert result.stdout == "one two \n"
    assert [len(message.contents) for message in talker.requests[0].messages] == [1]


def test_reset_forgets_and_quit_leaves(chat: Any, talker: Any) -> None:
    assert chat("one\n/reset\ntwo\n/quit\nthree\n").stdout == "one \ntwo \n"
    assert [said(request) for request in talker.requests] == [["one"], ["two"]]


def test_json_is_a_document_a_line(chat: Any) -> None:
    lines = chat("one\none fail\n", "--json", expect=1).stdout.splitlines()
    first, second = map(json.loads, lines)
    assert (first["question"], first["text"], first["error"]) == ("one", "one ", None)
    assert first["end"]["finish_reason"] == "stop"
    assert (second["text"], second["end"]) == ("one ", None)
    assert second["error"]["code"] == "UNAVAILABLE"


def test_an_answer_that_fails_is_told_and_the_next_is_asked(chat: Any) -> None:
    result = chat("one fail\ntwo\n", expect=1)
    assert result.stdout == "one \ntwo \n"
    assert result.stderr == "error: UNAVAILABLE: gone\n"


def test_messages_that_were_left_out_are_told(chat: Any) -> None:
    assert "without the 2 oldest messages" in chat("one\ntwo\nthree\n").stderr


def test_the_options_of_a_chat_reach_the_gateway(chat: Any, talker: Any) -> None:
    chat("one\n", "--temperature", "0.5", "--seed", "3", "--max-tokens", "7", "--model", "m")
    (request,) = talker.requests
    generation = request.generation
    assert (generation.temperature, generation.seed, generation.max_tokens) == (0.5, 3, 7)
    assert (request.model, generation.HasField("top_k")) == ("m", False)


def test_control_characters_do_not_reach_the_terminal(chat: Any) -> None:
    assert chat("\x1b[31mred\n").stdout == "\ufffd[31mred \n"


def test_input_that_is_no_text_is_asked_as_far_as_it_goes(chat: Any, talker: Any) -> None:
    chat(b"caf\xe9\n")
    assert said(talker.requests[0]) == ["caf\ufffd"]


class Terminal:
    """A chat at a terminal."""

    def __init__(self, target: str, picture: Path) -> None:
        self.keyboard, theirs = pty.openpty()
        command = [sys.executable, "-m", "triptych", "chat", str(picture), "--target", target]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def read_until(self, end: str) -> str:
        """What is shown until and with `end`."""
        shown = ""
        while not shown.endswith(end):
            shown += os.read(self.keyboard, 1).decode()
        return shown

    def interrupt_prompt(self) -> None:
        """Ctrl-C at the prompt; again where nothing comes of it, since Python sees a signal that
        comes between the prompt and the wait for a key at the next key alone."""
        self.process.send_signal(signal.SIGINT)
        while not select.select([self.keyboard], [], [], 1)[0]:
            self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.keyboard)


@pytest.fixture
def terminal(serve: Any, talker: Any, pictures: Path) -> Iterator[Terminal]:
    terminal = Terminal(serve(talker), pictures / "circles" / "red.png")
    yield terminal
    terminal.close()


def test_an_interrupt_cuts_off_the_answer_and_not_the_chat(terminal: Terminal, talker: Any) -> None:
    terminal.read_until("> ")
    terminal.type("one wait two\n")
    terminal.read_until("one wait two\r\none ")
    terminal.process.send_signal(signal.SIGINT)
    assert talker.ended.wait(60)
    terminal.read_until("> ")
    terminal.type("three\n")
    terminal.read_until("three \r\n> ")
    assert said(talker.requests[-1]) == ["one wait two", "one ", "three"]
    terminal.interrupt_prompt()
    terminal.read_until("> ")
    terminal.type("\x04")
    assert terminal.process.wait(60) == 0
