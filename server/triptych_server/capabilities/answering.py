"""Questions about a picture to answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.completions import Completion, Usage
from triptych_server.capabilities.generation import Generation, prompt_too_long
from triptych_server.capabilities.image_prefixes import ImagePrefix, ImagePrefixes
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.prompting import continuation, question_prompt
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


@dataclass(frozen=True, slots=True)
class _Question:
    """A question in the form of its model; `tokens` counts the picture too."""

    prompt: str
    tokens: int


class Answerer:
    """Answers questions about one picture with the models of a catalog."""

    def __init__(self, catalog: ModelCatalog, prefixes: ImagePrefixes) -> None:
        self._catalog = catalog
        self._prefixes = prefixes

    async def answer(
        self, model: str, image: Image, question: str, generation: Generation
    ) -> Answer:
        """Answer freely. Raises errors about `question`, `generation` and `image`."""
        language = LanguageModel.named(self._catalog, model)
        generation.check_supported(language.spec)
        asked = await _in_form(language, question)
        sampling = generation.within(language.spec, asked.tokens, "question")
        language.check_room()
        prefix = await self._encode(language, image)
        written = await language.write([prefix.soft], asked.prompt, sampling)
        [completion] = written.completions
        return Answer(
            model=language.model.name,
            text=completion.text.strip(),
            completion=completion,
            usage=written.usage,
            times=prefix.times.then(written.times),
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
        asked = await _in_form(language, question)
        if asked.tokens + CHOICE_TOKENS > language.spec.context_length:
            raise prompt_too_long(language.spec, "question", asked.tokens)
        continuations = [continuation(asked.prompt, choice) for choice in choices]
        language.check_room()
        prefix = await self._encode(language, image)
        try:
            scores = await language.score([prefix.soft], asked.prompt, continuations)
        except InvalidArgument as error:
            raise error.at(error.field.replace("continuations", "choices")) from None
        likelihoods = np.array(scores.log_probabilities, np.float64)
        return Choice(
            model=language.model.name,
            best=int(likelihoods.argmax()),
            log_probabilities=scores.log_probabilities,
            probabilities=_shares(likelihoods).tolist(),
            usage=Usage(scores.cost.prompt_tokens),
            times=prefix.times.then(StageTimes.of_scoring(scores.cost)),
        )

    async def _encode(self, language: LanguageModel, image: Image) -> ImagePrefix:
        try:
            return await self._prefixes.encode(language.model, image)
        except InvalidArgument as error:
            raise error.within("image") from None


async def _in_form(language: LanguageModel, question: str) -> _Question:
    prompt = question_prompt(language.spec.templates, question)
    return _Question(prompt, await language.count(prompt, pictures=1))


def _shares(log_probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.exp(
        log_probabilities - np.logaddexp.reduce(log_probabilities)
    )
    return shares
