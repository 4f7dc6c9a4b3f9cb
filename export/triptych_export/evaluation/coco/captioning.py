"""A model's captions of a data set's pictures, and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from triptych import Client, Generation
from triptych_export.evaluation.calls import CONCURRENCY, in_parallel
from triptych_export.evaluation.coco.annotations import AnnotatedPicture
from triptych_export.evaluation.coco.scores import CaptionScores, score_captions
from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.pictures import LeftOut, Unusable, ask_about
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
    ask = _Ask(client, model, prompt, generation)
    answers = in_parallel(
        ask, pictures, concurrency=concurrency, advance=progress("captions", len(pictures))
    )
    left_out = LeftOut.of(answer for answer in answers if isinstance(answer, Unusable))
    told = [
        (picture, answer)
        for picture, answer in zip(pictures, answers, strict=True)
        if isinstance(answer, _Told)
    ]
    if not told:
        raise EvaluationError(f"no picture can be used: {left_out}")
    progress("scores", 1)
    scores = score_captions(
        [answer.text for _, answer in told], [picture.captions for picture, _ in told]
    )
    captions = {picture.id: answer.text for picture, answer in told}
    return CocoReport(scores, len(told), left_out, told[0][1].model, captions)


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    model: str


@dataclass(frozen=True, slots=True)
class _Ask:
    """One picture to its caption, without the prompt."""

    client: Client
    model: str
    prompt: str
    generation: Generation | None

    def __call__(self, picture: AnnotatedPicture) -> _Told | Unusable:
        return ask_about(picture.file, self._caption)

    def _caption(self, picture: bytes) -> _Told:
        captions = self.client.caption(
            [picture], model=self.model, prompt=self.prompt, generation=self.generation
        )
        (text,) = captions.texts
        return _Told(text.removeprefix(self.prompt).strip(), captions.model)
