"""The language part of a model, run for the capabilities."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from triptych_server.capabilities.completions import Progress
from triptych_server.capabilities.models import Model, ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.generators.protocol import (
    Delta,
    Generator,
    Prompt,
    Sampling,
    Scores,
    SoftPrefix,
)
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import Internal, InvalidArgument
from triptych_server.media.content import Text


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A model that continues pictures with text: `generator` does, and `spec` describes it.

    The pictures of a prompt stand before its text, wherever people put them: BLIP-2 learnt no other
    order. What the generator refuses of a prompt that was found to fit is `Internal`.
    """

    model: Model
    spec: GeneratorSpec
    generator: Generator

    @classmethod
    def named(cls, catalog: ModelCatalog, name: str) -> "LanguageModel":
        """That of the model `name`, or of the default for an empty one.

        Raises as `ModelCatalog.get` and `ModelCatalog.generator`.
        """
        model = catalog.get(name, Task.VISION_LANGUAGE)
        assert model.generator is not None, "a model of this task has a generator"
        return cls(model, model.generator, catalog.generator(model))

    async def count(self, text: str, *, pictures: int) -> int:
        """Tokens of a prompt of so many pictures and a text, its beginning included."""
        return await self.generator.count([Text(text)]) + pictures * self.spec.prefix_tokens

    def check_room(self) -> None:
        """Raise `ResourceExhausted` if what is asked now would be refused: to be called before a
        picture is encoded for nothing."""
        self.generator.check_room()

    @asynccontextmanager
    async def deltas(
        self, pictures: Sequence[SoftPrefix], text: str, sampling: Sampling
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """The pieces of texts after a prompt, as they come; leaving it ends the generation."""
        try:
            async with aclosing(
                self.generator.generate(_prompt(pictures, text), sampling)
            ) as found:
                yield found
        except InvalidArgument as error:
            raise self._mismatch(error) from error

    async def write(
        self, pictures: Sequence[SoftPrefix], text: str, sampling: Sampling
    ) -> Progress:
        """The texts after a prompt, ended."""
        progress = Progress()
        async with self.deltas(pictures, text, sampling) as deltas:
            async for delta in deltas:
                progress.add(delta)
        return progress

    async def score(
        self, pictures: Sequence[SoftPrefix], text: str, continuations: Sequence[str]
    ) -> Scores:
        """How likely each continuation of a prompt is; raises `InvalidArgument` about
        `continuations[i]` when one is too long."""
        try:
            return await self.generator.score(_prompt(pictures, text), continuations)
        except InvalidArgument as error:
            if error.field.startswith("continuations"):
                raise
            raise self._mismatch(error) from error

    def _mismatch(self, error: InvalidArgument) -> Internal:
        return Internal(
            f"{self.generator.name} refuses what its spec asks for: {error}",
            reason="GENERATOR_MISMATCH",
        )


def _prompt(pictures: Sequence[SoftPrefix], text: str) -> Prompt:
    return [*pictures, Text(text)]
