"""The accuracy of the VQA benchmark (arXiv 1505.00468)."""

from collections.abc import Sequence

from triptych_export.evaluation.vqa.normalisation import normalise

AGREEING = 3  # people who must have given an answer for it to be quite right
LEAST_ANSWERS = AGREEING + 1


def answer_accuracy(answer: str, people: Sequence[str]) -> float:
    """How right an answer is by those that several people gave, 0 to 1.

    By all but one of the people it is right in the measure in which three of them agree:
    min(agreeing / 3, 1). The accuracy is the mean of that over leaving out each of the people.
    Answers are compared normalised, which the benchmark describes; its code leaves those of people
    who all wrote the same as they are. There are at least `LEAST_ANSWERS` people; VQAv2 has 10.
    """
    if len(people) < LEAST_ANSWERS:
        raise ValueError(f"the measure needs the answers of {LEAST_ANSWERS} people")
    given = normalise(answer)
    agrees = [normalise(person) == given for person in people]
    agreeing = sum(agrees)
    return sum(min((agreeing - agree) / AGREEING, 1) for agree in agrees) / len(people)
