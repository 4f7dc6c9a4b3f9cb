"""The language part of a model, run for the capabilities."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from triptych_server import deadline
from triptych_server.capabilities.chat_form import ChatForm
from triptych_server.capabilities.completion_form import CompletionForm
from triptych_server.capabilities.completions import Progress
from triptych_server.capabilities.forms import Draft, Form
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.generators.protocol import Delta, Generator, Prompt, Sampling, Scores
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import Internal, InvalidArgument, TriptychError, Unavailable


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A model that writes: `generator` does, `spec` describes it, and `form` says how it is asked.

    What the generator refuses of a prompt that was found to fit is `Internal`. Of a chat model's it
    is `InvalidArgument`: nobody but its server knows how many tokens a picture takes, and which
    shapes of pictures it can look at.
    """

    model: Model
    spec: GeneratorSpec
    generator: Generator
    form: Form

    @classmethod
    def named(
        cls, catalog: ModelCatalog, name: str, task: Task = Task.VISION_LANGUAGE
    ) -> "LanguageModel":
        """That of the model `name`, or of the task's default for an empty one.

        Raises as `ModelCatalog.get` and `ModelCatalog.generator`.
        """
        model = catalog.get(name, task)
        spec = model.generator
        assert spec is not None, "a model of such a task has a generator"
        generator = catalog.generator(model)
        if not spec.context_length:
            raise Unavailable(
                f"the server of {generator.name} has not answered yet",
                reason="GENERATOR_NOT_LOADED",
            )
        return cls(model, spec, generator, _form(spec))

    async def count(self, draft: Draft, field: str) -> int:
        """Tokens of a prompt, its beginning and its pictures included; of these none where nobody
        knows how many they are. `field` is blamed as in `deltas`."""
        try:
            words = await self.generator.count(draft.words)
        except InvalidArgument as error:
            raise (self._refusal(error, field) if self.spec.instructions else error) from None
        return words + len(draft.pictures) * self.spec.prefix_tokens

    def check_room(self) -> None:
        """Raise `ResourceExhausted` if what is asked now would be refused: to be called before a
        picture is looked at for nothing."""
        self.generator.check_room()

    @asynccontextmanager
    async def deltas(
        self, prompt: Prompt, sampling: Sampling, field: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """The pieces of texts after a prompt, as they come; leaving it ends the generation.

        `field` is blamed where the generator of a chat model refuses the prompt.
        """
        deadline.check_wanted()
        try:
            async with aclosing(self.generator.generate(prompt, sampling)) as found:
                yield found
        except InvalidArgument as error:
            raise self._refusal(error, field) from error

    async def write(self, prompt: Prompt, sampling: Sampling, field: str) -> Progress:
        """The texts after a prompt, ended."""
        progress = Progress()
        async with self.deltas(prompt, replace(sampling, whole=True), field) as deltas:
            async for delta in deltas:
                progress.add(delta)
        return progress

    async def score(self, prompt: Prompt, continuations: Sequence[str], field: str) -> Scores:
        """How likely each continuation of a prompt is; raises `InvalidArgument` about
        `continuations[i]` when one is too long."""
        deadline.check_wanted()
        try:
            return await self.generator.score(prompt, continuations)
        except InvalidArgument as error:
            if error.field.startswith("continuations"):
                raise
            raise self._refusal(error, field) from error

    def _refusal(self, error: InvalidArgument, field: str) -> TriptychError:
        if self.spec.instructions:
            too_long = error.reason == "EXCEEDS_CONTEXT"
            reason = "PROMPT_TOO_LONG" if too_long else "PROMPT_REFUSED"
            return InvalidArgument(field, error.message, reason=reason)
        return Internal(
            f"{self.generator.name} refuses what its spec asks for: {error}",
            reason="GENERATOR_MISMATCH",
        )


def _form(spec: GeneratorSpec) -> Form:
    if spec.instructions:
        return ChatForm(spec.instructions, structured=spec.structure)
    return CompletionForm(spec.templates, spec.proposals)
