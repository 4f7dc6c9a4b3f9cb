"""Questions about a picture to answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.generation import (
    Completion,
    Generation,
    Usage,
    generate,
    mismatch,
    prompt_too_long,
)
from triptych_server.capabilities.image_prefixes import ImagePrefix, ImagePrefixes
from triptych_server.capabilities.models import Model, ModelCatalog
from triptych_server.capabilities.prompting import continuation, question_prompt
from triptych_server.capabilities.tasks import Task
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Generator, Prompt
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Image, Text


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
    """A question in the form of its model, and what will answer it."""

    model: Model
    spec: GeneratorSpec
    generator: Generator
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
        asked = await self._ask(model, question)
        generation.check_supported(asked.spec)
        sampling = generation.within(asked.spec, asked.tokens, "question")
        prefix = await self._encode(asked, image)
        written = await generate(asked.generator, [prefix.soft, Text(asked.prompt)], sampling)
        [completion] = written.completions
        return Answer(
            model=asked.model.name,
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
        asked = await self._ask(model, question)
        if not asked.spec.scoring:
            raise FailedPrecondition(
                f"the model {asked.spec.model!r} does not tell how likely given answers are",
                reason="CHOICES_NOT_SUPPORTED",
                field="choices",
            )
        continuations = [continuation(asked.prompt, choice) for choice in choices]
        if asked.tokens + 2 > asked.spec.context_length:  # one of a choice, and the end of text
            raise prompt_too_long(asked.spec, "question", f"{asked.tokens:,} tokens")
        prefix = await self._encode(asked, image)
        prompt: Prompt = [prefix.soft, Text(asked.prompt)]
        try:
            scores = await asked.generator.score(prompt, continuations)
        except InvalidArgument as error:
            if not error.field.startswith("continuations"):
                raise mismatch(asked.generator, error) from error
            raise error.at(error.field.replace("continuations", "choices")) from None
        likelihoods = np.array(scores.log_probabilities, np.float64)
        return Choice(
            model=asked.model.name,
            best=int(likelihoods.argmax()),
            log_probabilities=scores.log_probabilities,
            probabilities=_shares(likelihoods).tolist(),
            usage=Usage(scores.cost.prompt_tokens),
            times=prefix.times.then(StageTimes.of_scoring(scores.cost)),
        )

    async def _ask(self, name: str, question: str) -> _Question:
        model = self._catalog.get(name, Task.VISION_LANGUAGE)
        spec = model.generator
        assert spec is not None, "a model that answers has a generator"
        generator = self._catalog.generator(model)
        prompt = question_prompt(spec.templates, question)
        tokens = await generator.count([Text(prompt)]) + spec.prefix_tokens
        return _Question(model, spec, generator, prompt, tokens)

    async def _encode(self, asked: _Question, image: Image) -> ImagePrefix:
        try:
            return await self._prefixes.encode(asked.model, image)
        except InvalidArgument as error:
            raise error.within("image") from None


def _shares(log_probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.exp(
        log_probabilities - np.logaddexp.reduce(log_probabilities)
    )
    return shares
