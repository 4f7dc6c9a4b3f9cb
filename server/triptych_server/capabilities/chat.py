"""Conversations about pictures, continued."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from triptych_server.capabilities.completions import Progress, Usage
from triptych_server.capabilities.concurrency import run_all
from triptych_server.capabilities.conversation import (
    Conversation,
    Excerpt,
    Shown,
    hear,
    longest_that_fits,
)
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.sights import Seen, Sights
from triptych_server.capabilities.tasks import Task
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Finish, Sampling


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """How a reply ended. `trimmed_messages` were left out, from the oldest on."""

    model: str
    finish: Finish
    log_probability: float
    trimmed_messages: int
    usage: Usage
    times: StageTimes


@dataclass(frozen=True, slots=True)
class _Job:
    """A conversation that was found to be in order, and what will continue it. `pictures` are those
    that the excerpt shows, `last` is the path of the last message."""

    language: LanguageModel
    pictures: Sequence[Shown]
    excerpt: Excerpt
    sampling: Sampling
    last: str


class Chat:
    """Continues conversations with the models of a catalog."""

    def __init__(self, catalog: ModelCatalog, sights: Sights) -> None:
        self._catalog = catalog
        self._sights = sights

    async def reply(
        self, model: str, conversation: Conversation, generation: Generation
    ) -> AsyncGenerator[str | ChatEnd, None]:
        """The assistant's next message in pieces, then how it ended.

        The pieces add up to the text without white space at its ends. Raises errors about
        `messages[i]`, their pictures and `generation`, all but a picture's before any work. Closing
        the iterator ends the generation.
        """
        job = await self._prepare(model, conversation, generation)
        seen = await run_all(self._see(job.language, picture) for picture in job.pictures)
        prompt = job.excerpt.draft.prompt([each.sight for each in seen])
        progress, ends = Progress(), Ends()
        async with job.language.deltas(prompt, job.sampling, job.last) as deltas:
            async for delta in deltas:
                progress.add(delta)
                if piece := ends.strip(delta.text):
                    yield piece
        [completion] = progress.completions
        times = StageTimes.longest(each.times for each in seen)
        yield ChatEnd(
            model=job.language.model.name,
            finish=completion.finish,
            log_probability=completion.log_probability,
            trimmed_messages=job.excerpt.trimmed_messages,
            usage=progress.usage,
            times=times.then(progress.times),
        )

    async def _prepare(self, name: str, conversation: Conversation, generation: Generation) -> _Job:
        """Everything that can be refused before any work."""
        language = LanguageModel.named(self._catalog, name, Task.CHAT)
        spec = language.spec
        heard = hear(conversation, spec)
        generation.check_supported(spec, pictures=len(heard.pictures))
        reserve = generation.reserve(spec.context_length)
        excerpt = await longest_that_fits(language, heard.said, reserve=reserve)
        last = f"messages[{len(conversation) - 1}]"
        sampling = generation.within(spec, excerpt.tokens, last)
        language.check_room()
        pictures = [heard.pictures[number] for number in excerpt.draft.pictures]
        return _Job(language, pictures, excerpt, sampling, last)

    async def _see(self, language: LanguageModel, picture: Shown) -> Seen:
        field = f"{picture.field}.image"
        return await self._sights.see(language.model, picture.image, field=field)


class Ends:
    """Takes the white space off both ends of a text that comes in pieces."""

    def __init__(self) -> None:
        self._begun = False
        self._held = ""  # white space that is at an end, unless more comes

    def strip(self, piece: str) -> str:
        """What is certain after one more piece."""
        text = self._held + piece
        if not self._begun:
            text = text.lstrip()
        certain = text.rstrip()
        self._held = text[len(certain) :]
        self._begun = self._begun or bool(certain)
        return certain
