"""Questions, conversations and scored texts in the form that a checkpoint was trained on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.engines.generators.spec import ProposalTemplates, Templates


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user said, and what the assistant said to it."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A text, and how well it fits what is looked for."""

    text: str
    score: float


def question_prompt(templates: Templates, question: str) -> str:
    """The prompt whose continuation answers one question."""
    return fill(templates.answer, question=question.strip())


def conversation_prompt(templates: Templates, turns: Sequence[Turn], question: str) -> str:
    """The prompt whose continuation answers a question after finished turns."""
    finished = [_finished(templates.turn, turn) for turn in turns]
    return templates.separator.join([*finished, question_prompt(templates, question)])


def proposal_prompt(templates: ProposalTemplates, examples: Sequence[Scored]) -> str:
    """The prompt whose continuation should score higher than all examples, which come worst
    first."""
    shown = [
        fill(
            templates.example,
            text=one_line(each.text),
            score=score(each),
            percent=str(max(0, min(100, round(100 * each.score)))),
        )
        for each in examples
    ]
    return templates.separator.join(shown) + templates.ending


def one_line(text: str) -> str:
    """A text without the ends of lines that would end an example."""
    return " ".join(text.split())


def score(scored: Scored) -> str:
    """A score as models are shown it."""
    return f"{scored.score:.3f}"


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
    places = "|".join(values)
    return re.sub(rf"\{{({places})\}}", lambda place: values[place[1]], template)
