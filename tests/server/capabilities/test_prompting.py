"""Questions, conversations and scored texts in the form of a checkpoint."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triptych_server.capabilities.prompting import (
    Scored,
    Turn,
    continuation,
    conversation_prompt,
    proposal_prompt,
    question_prompt,
)
from triptych_server.engines.generators.spec import ProposalTemplates, Templates

BLIP_2 = Templates()
PROPOSALS = ProposalTemplates("{percent} {text}", "\n", "\n100", "a {subject}", examples=6)


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


def test_examples_stand_before_the_ending() -> None:
    examples = [Scored("a cat", 0.284), Scored("a red cat", 0.316)]
    assert proposal_prompt(PROPOSALS, examples) == "28 a cat\n32 a red cat\n100"
    assert proposal_prompt(PROPOSALS, []) == "\n100"


def test_scores_stand_where_the_template_has_them() -> None:
    templates = ProposalTemplates("{text} ({score})", "; ", "; ", "{subject}", examples=2)
    prompt = proposal_prompt(templates, [Scored("a cat", 0.28449), Scored("a dog", -1)])
    assert prompt == "a cat (0.284); a dog (-1.000); "


@pytest.mark.parametrize(
    ("score", "percent"), [(-1.0, "0"), (0.004, "0"), (0.516, "52"), (1.0, "100"), (7.0, "100")]
)
def test_percents_are_whole_and_within_bounds(score: float, percent: str) -> None:
    assert proposal_prompt(PROPOSALS, [Scored("a", score)]).startswith(f"{percent} a\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
@example(["{text}", "{percent} {score}", "{0}", "\\1", "a\n100", "\u2028\x85\r"])
def test_hostile_captions_stay_on_their_line(captions: list[str]) -> None:
    prompt = proposal_prompt(PROPOSALS, [Scored(each, 0.5) for each in captions])
    *lines, ending = prompt.splitlines()
    assert ending == "100"
    assert lines == ([f"50 {' '.join(each.split())}" for each in captions] or [""])
