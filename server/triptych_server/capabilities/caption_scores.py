"""How well captions fit their picture, in the eyes of other models."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.capabilities.embedding import Embedded, Embedder
from triptych_server.capabilities.encoding import Patches
from triptych_server.capabilities.matching import Matcher, Picture
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.encoders import Role
from triptych_server.errors import FailedPrecondition, TriptychError
from triptych_server.media.content import Image, Text


@dataclass(frozen=True, slots=True)
class Scorers:
    """The models that score; None where that score is not wanted."""

    clip: Model | None
    itm: Model | None

    @property
    def patch_space(self) -> str:
        """Of the patches that the matching model takes; empty without one."""
        return self.itm.encoder(Role.ITM).patch_space if self.itm else ""


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """Scores of the captions of one picture, in their order; None where not wanted."""

    clip: Sequence[float | None]
    itm: Sequence[float | None]
    times: StageTimes


class CaptionScorer:
    """Scores captions by contrastive models and by image-text matching."""

    def __init__(self, catalog: ModelCatalog, embedder: Embedder, matcher: Matcher) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._matcher = matcher

    def select(self, clip_model: str | None, itm_model: str | None) -> Scorers:
        """The models by name: None wants no score, an empty one is the default's.

        Raises as `ModelCatalog.get`, about `scoring.clip_model` and `scoring.itm_model`.
        """
        clip = itm = None
        if clip_model is not None:
            clip = self._get(clip_model, Task.EMBED, "scoring.clip_model")
            _check_contrastive(clip)
        if itm_model is not None:
            itm = self._get(itm_model, Task.MATCH, "scoring.itm_model")
        return Scorers(clip, itm)

    async def score(
        self, scorers: Scorers, image: Image, patches: Patches | None, captions: Sequence[str]
    ) -> CaptionScores:
        """Score the captions of one picture; equal ones are computed once.

        `patches` are the picture's, of `scorers.patch_space`, if they are known.
        """
        unique = list(dict.fromkeys(captions))
        places = [unique.index(caption) for caption in captions]
        clip: list[float | None] = [None] * len(unique)
        itm: list[float | None] = [None] * len(unique)
        times = StageTimes()
        if scorers.clip:
            clip[:], clip_times = await self._cosines(scorers.clip, image, unique)
            times = times.then(clip_times)
        if scorers.itm:
            itm[:], itm_times = await self._matches(scorers.itm, patches or image, unique)
            times = times.then(itm_times)
        return CaptionScores([clip[i] for i in places], [itm[i] for i in places], times)

    async def _cosines(
        self, model: Model, image: Image, captions: Sequence[str]
    ) -> tuple[list[float], StageTimes]:
        embedded: list[Embedded] = []
        for each in await self._embedder.embed_all(model, [image, *map(Text, captions)]):
            if isinstance(each, TriptychError):
                raise each
            embedded.append(each)
        picture, *texts = embedded
        cosines = [float(text.vector @ picture.vector) for text in texts]
        return cosines, StageTimes.longest(each.times for each in embedded)

    async def _matches(
        self, model: Model, picture: Picture, captions: Sequence[str]
    ) -> tuple[list[float], StageTimes]:
        pairs = [(0, text) for text in range(len(captions))]
        matches = await self._matcher.match(model, [picture], captions, pairs)
        for error in matches.errors.values():
            raise error
        return [each for each in matches.probabilities if each is not None], matches.times

    def _get(self, name: str, task: Task, field: str) -> Model:
        try:
            return self._catalog.get(name, task)
        except TriptychError as error:
            raise error.at(field) from None


def _check_contrastive(model: Model) -> None:
    if not {Role.IMAGE, Role.TEXT} <= set(model.encoders) and not model.unread.encoders:
        raise FailedPrecondition(
            f"the model {model.name!r} does not embed both pictures and texts",
            reason="TASK_NOT_SUPPORTED",
            field="scoring.clip_model",
        )
