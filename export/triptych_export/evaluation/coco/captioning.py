"""A model's captions of a data set's pictures, and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from triptych import Client, Generation
from triptych_export.evaluation.calls import CONCURRENCY
from triptych_export.evaluation.coco.annotations import AnnotatedPicture
from triptych_export.evaluation.coco.scores import CaptionScores, score_captions
from triptych_export.evaluation.pictures import LeftOut, Said, ask_about_each
from triptych_export.evaluation.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class CocoReport:
    """Scores of the captions of so many `pictures`, and which were left out, and why.

    `captions` are the captions by the picture's id, as the model wrote them after the prompt.
    """

    scores: CaptionScores
    pictures: int
    left_out: LeftOut
    model: str
    captions: dict[int | str, str] = field(repr=False)


def evaluate_coco(
    client: Client,
    pictures: Sequence[AnnotatedPicture],
    *,
    model: str = "",
    prompt: str = "",
    generation: Generation | None = None,
    concurrency: int = CONCURRENCY,
    progress: Progress = silent,
) -> CocoReport:
    """Caption each picture and compare with what people wrote.

    Pictures that are not there or cannot be read are left out of the scores and counted. Raises
    `EvaluationError` when none is left, and `TriptychError` when the gateway refuses.
    """

    def caption(_: AnnotatedPicture, picture: bytes) -> Said:
        captions = client.caption([picture], model=model, prompt=prompt, generation=generation)
        (text,) = captions.texts
        return Said(text.removeprefix(prompt).strip(), captions.model)

    said, left_out = ask_about_each(
        pictures, caption, concurrency=concurrency, advance=progress("captions", len(pictures))
    )
    progress("scores", 1)
    scores = score_captions(
        [answer.text for _, answer in said], [picture.captions for picture, _ in said]
    )
    captions = {picture.id: answer.text for picture, answer in said}
    return CocoReport(scores, len(said), left_out, said[0][1].model, captions)
