"""Texts put together from their pieces."""

import pytest

from triptych_server.capabilities.completions import Completion, Progress, Usage
from triptych_server.engines.generators.protocol import Cost, Delta, Finish
from triptych_server.errors import Internal

COST = Cost(prompt_tokens=7, queue_ns=1, first_token_ns=2, generation_ns=3, batch_size=2)


def test_pieces_of_texts_that_come_in_turn_are_told_apart() -> None:
    progress = Progress()
    for delta in (
        Delta(1, "a ", 1, -0.5),
        Delta(0, "the", 1, -1.0),
        Delta(1, "cat", 2, -0.25, Finish.STOP),
        Delta(0, "", 1, -2.0, Finish.LENGTH, COST),
    ):
        progress.add(delta)
    assert progress.completions == [
        Completion("the", 2, -3.0, Finish.LENGTH),
        Completion("a cat", 3, -0.75, Finish.STOP),
    ]
    assert progress.usage == Usage(prompt_tokens=7, completion_tokens=5)


def test_texts_that_did_not_end_are_the_servers_fault() -> None:
    progress = Progress()
    progress.add(Delta(0, "half", 1, -1.0))
    for read in (lambda: progress.completions, lambda: progress.usage, lambda: progress.times):
        with pytest.raises(Internal):
            read()
