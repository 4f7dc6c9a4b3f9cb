"""Pictures to captions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from triptych_server.capabilities.caption_scores import CaptionScorer, Scorers
from triptych_server.capabilities.completions import Completion, Usage
from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.forms import Draft
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.outcomes import outcome
from triptych_server.capabilities.sights import Sights
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import TriptychError
from triptych_server.media.content import Image

# Pictures of one call under way at once: enough to fill a batch, few beside those of other calls.
SIDE_BY_SIDE = 16


class Order(StrEnum):
    """What the captions of a picture are ordered by, best first.

    `SEARCH` is as the generator ranks them: by likelihood, beams with their length penalty.
    """

    SEARCH = "search"
    LIKELIHOOD = "likelihood"
    CLIP = "clip"
    ITM = "itm"


@dataclass(frozen=True, slots=True)
class CaptionQuery:
    """What to caption, and how. A score is computed where its model is not None; an empty name is
    the default's. Ordering by a score needs it.

    An error in `images` stands for a picture that was already refused.
    """

    model: str
    images: Sequence[Image | TriptychError]
    prompt: str
    generation: Generation
    order: Order = Order.SEARCH
    clip_model: str | None = None
    itm_model: str | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """One text about a picture: the prompt and `completion` after it."""

    text: str
    completion: Completion
    clip_score: float | None
    itm_score: float | None


@dataclass(frozen=True, slots=True)
class Captions:
    """Those of one picture, best first."""

    captions: Sequence[Caption]
    usage: Usage
    times: StageTimes


@dataclass(frozen=True, slots=True)
class Captioned:
    """`outcomes` has one of each picture."""

    model: str
    outcomes: Sequence[Captions | TriptychError]


@dataclass(frozen=True, slots=True)
class _Job:
    """What the pictures of one call have in common."""

    query: CaptionQuery
    language: LanguageModel
    draft: Draft
    sampling: Sampling
    scorers: Scorers
    encoding: Patience = field(default_factory=Patience)
    generating: Patience = field(default_factory=Patience)
    # What was generated is not thrown away because nobody has room to score it.
    scoring: Patience = field(default_factory=lambda: Patience(begun=True))


class Captioner:
    """Captions pictures with the models of a catalog. `queue` requests may wait for a generator:
    no call asks for more at once."""

    def __init__(
        self, catalog: ModelCatalog, sights: Sights, scorer: CaptionScorer, *, queue: int
    ) -> None:
        self._catalog = catalog
        self._sights = sights
        self._scorer = scorer
        self._side_by_side = min(queue, SIDE_BY_SIDE)

    async def caption(self, query: CaptionQuery) -> Captioned:
        """Caption each picture by itself, several side by side.

        What is wrong with a picture is returned in its place, with the field inside the picture.
        All else is raised: `FailedPrecondition` and `InvalidArgument` before any work, and
        `ResourceExhausted` when there is room for none of the pictures; if there is for one, the
        others wait for it.
        """
        job = await self._prepare(query)
        room = asyncio.Semaphore(self._side_by_side)

        async def in_turn(image: Image | TriptychError) -> Captions | TriptychError:
            if isinstance(image, TriptychError):
                return image
            async with room:
                return await outcome(self._caption(job, image))

        return Captioned(job.language.model.name, await run_all(map(in_turn, query.images)))

    async def _prepare(self, query: CaptionQuery) -> _Job:
        """Everything that can be refused before any work."""
        language = LanguageModel.named(self._catalog, query.model)
        query.generation.check_supported(language.spec, pictures=1)
        scorers = self._scorer.select(query.clip_model, query.itm_model)
        draft = language.form.caption(query.prompt)
        tokens = await language.count(draft, "prompt")
        sampling = query.generation.within(language.spec, tokens, "prompt")
        language.check_room()
        return _Job(query, language, draft, sampling, scorers)

    async def _caption(self, job: _Job, image: Image) -> Captions:
        query = job.query
        seen = await job.encoding.admitted(
            lambda: self._sights.see(job.language.model, image, patches_of=job.scorers.patch_space)
        )
        prompt = job.draft.prompt([seen.sight])
        written = await job.generating.admitted(
            lambda: job.language.write(prompt, job.sampling, "prompt")
        )
        texts = [(query.prompt + each.text).strip() for each in written.completions]
        scores = await job.scoring.admitted(
            lambda: self._scorer.score(job.scorers, image, seen.patches, texts)
        )
        captions = [
            Caption(text, completion, clip, itm)
            for text, completion, clip, itm in zip(
                texts, written.completions, scores.clip, scores.itm, strict=True
            )
        ]
        times = seen.times.then(written.times).then(scores.times)
        return Captions(_ordered(captions, query), written.usage, times)


def _ordered(captions: Sequence[Caption], query: CaptionQuery) -> list[Caption]:
    """Best first; of equal ones the generator's order stays."""
    match query.order:
        case Order.CLIP:
            return sorted(captions, key=lambda each: -(each.clip_score or 0.0))
        case Order.ITM:
            return sorted(captions, key=lambda each: -(each.itm_score or 0.0))
        case Order.SEARCH if query.generation.sampling.beams > 1:
            return list(captions)
    return sorted(captions, key=lambda each: -each.completion.log_probability)
