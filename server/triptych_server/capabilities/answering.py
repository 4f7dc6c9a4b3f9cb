"""Questions about a picture to answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.completions import Completion, Usage
from triptych_server.capabilities.generation import Generation, prompt_too_long
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.sights import Sights
from triptych_server.capabilities.timing import StageTimes
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Image

CHOICE_TOKENS = 2  # at least: one of its text, and the end of text


@dataclass(frozen=True, slots=True)
class Answer:
    """A free answer: the model's text, stripped, and how it came about."""

    model: str
    text: str
    completion: Completion
    usage: Usage
    times: StageTimes


@dataclass(frozen=True, slots=True)
class Choice:
    """The likelihoods of the choices in their order; `probabilities` are their shares, and `best`
    is the position of the likeliest."""

    model: str
    best: int
    log_probabilities: Sequence[float]
    probabilities: Sequence[float]
    usage: Usage
    times: StageTimes


class Answerer:
    """Answers questions about one picture with the models of a catalog."""

    def __init__(self, catalog: ModelCatalog, sights: Sights) -> None:
        self._catalog = catalog
        self._sights = sights

    async def answer(
        self, model: str, image: Image, question: str, generation: Generation
    ) -> Answer:
        """Answer freely. Raises errors about `question`, `generation` and `image`."""
        language = LanguageModel.named(self._catalog, model)
        generation.check_supported(language.spec, pictures=1)
        asked = language.form.question(question)
        tokens = await language.count(asked, "question")
        sampling = generation.within(language.spec, tokens, "question")
        language.check_room()
        seen = await self._sights.see(language.model, image, field="image")
        written = await language.write(asked.prompt([seen.sight]), sampling, "question")
        [completion] = written.completions
        return Answer(
            model=language.model.name,
            text=completion.text.strip(),
            completion=completion,
            usage=written.usage,
            times=seen.times.then(written.times),
        )

    async def choose(
        self, model: str, image: Image, question: str, choices: Sequence[str]
    ) -> Choice:
        """Find the likeliest of given answers. Raises errors about `question`, `choices` and
        `image`."""
        language = LanguageModel.named(self._catalog, model)
        if not language.spec.scoring:
            raise FailedPrecondition(
                f"the model {language.model.name!r} does not tell how likely given answers are",
                reason="CHOICES_NOT_SUPPORTED",
                field="choices",
            )
        asked = language.form.question(question)
        tokens = await language.count(asked, "question")
        if tokens + CHOICE_TOKENS > language.spec.context_length:
            raise prompt_too_long(language.spec, "question", tokens)
        continuations = list(map(asked.continuation, choices))
        language.check_room()
        seen = await self._sights.see(language.model, image, field="image")
        try:
            prompt = asked.prompt([seen.sight])
            scores = await language.score(prompt, continuations, "question")
        except InvalidArgument as error:
            raise error.at(error.field.replace("continuations", "choices")) from None
        likelihoods = np.array(scores.log_probabilities, np.float64)
        return Choice(
            model=language.model.name,
            best=int(likelihoods.argmax()),
            log_probabilities=scores.log_probabilities,
            probabilities=_shares(likelihoods).tolist(),
            usage=Usage(scores.cost.prompt_tokens),
            times=seen.times.then(StageTimes.of_scoring(scores.cost)),
        )


def _shares(log_probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.exp(
        log_probabilities - np.logaddexp.reduce(log_probabilities)
    )
    return shares
