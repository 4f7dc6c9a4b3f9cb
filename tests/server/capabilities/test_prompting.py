"""Questions and conversations in the form of a checkpoint."""

import pytest

from triptych_server.capabilities.prompting import (
    Turn,
    continuation,
    conversation_prompt,
    question_prompt,
)
from triptych_server.engines.generators.spec import Templates

BLIP_2 = Templates()


def test_question_is_put_into_its_form() -> None:
    assert question_prompt(BLIP_2, " what is it?\n") == "Question: what is it? Answer:"


def test_conversation_is_finished_turns_and_a_question() -> None:
    turns = [Turn("what is it?", "a cat"), Turn("what colour?", "black")]
    assert conversation_prompt(BLIP_2, turns, "where?") == (
        "Question: what is it? Answer: a cat. "
        "Question: what colour? Answer: black. "
        "Question: where? Answer:"
    )


def test_answer_that_ends_as_the_template_does_is_not_ended_twice() -> None:
    prompt = conversation_prompt(BLIP_2, [Turn("what is it?", "A cat. ")], "where?")
    assert prompt == "Question: what is it? Answer: A cat. Question: where? Answer:"


def test_braces_of_people_stay_what_they_are() -> None:
    prompt = conversation_prompt(BLIP_2, [Turn("{answer}", "{question}")], "{question} {}")
    assert prompt == "Question: {answer} Answer: {question}. Question: {question} {} Answer:"


def test_form_is_the_generators_own() -> None:
    templates = Templates("Q: {question}\nA: ", "Q: {question}\nA: {answer}", "\n\n")
    prompt = conversation_prompt(templates, [Turn("what?", "a cat.")], "where?")
    assert prompt == "Q: what?\nA: a cat.\n\nQ: where?\nA: "


@pytest.mark.parametrize(
    ("prompt", "expected"), [("Answer:", " red"), ("Answer: ", "red"), ("", "red")]
)
def test_continuation_is_parted_by_one_space(prompt: str, expected: str) -> None:
    assert continuation(prompt, " red ") == expected
