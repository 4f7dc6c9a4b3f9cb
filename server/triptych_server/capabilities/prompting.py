"""Questions and conversations in the form that a checkpoint was trained on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.engines.generators.spec import Templates


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user said, and what the assistant said to it."""

    question: str
    answer: str


def question_prompt(templates: Templates, question: str) -> str:
    """The prompt whose continuation answers one question."""
    return fill(templates.answer, question=question.strip())


def conversation_prompt(templates: Templates, turns: Sequence[Turn], question: str) -> str:
    """The prompt whose continuation answers a question after finished turns."""
    finished = [_finished(templates.turn, turn) for turn in turns]
    return templates.separator.join([*finished, question_prompt(templates, question)])


def continuation(prompt: str, text: str) -> str:
    """`text` as a model would write it after a prompt."""
    spaced = not prompt or prompt[-1].isspace()
    return text.strip() if spaced else f" {text.strip()}"


def _finished(template: str, turn: Turn) -> str:
    # The model's own answer may end as the template does: `red.` in `... Answer: {answer}.`
    end = template.rpartition("{answer}")[2]
    answer = turn.answer.strip().removesuffix(end)
    return fill(template, question=turn.question.strip(), answer=answer)


def fill(template: str, **values: str) -> str:
    """A template with its places filled, in one pass: braces in what people write stay what they
    are."""
    return re.sub(r"\{(question|answer)\}", lambda place: values.get(place[1], ""), template)
