"""Scores by the probability that text and picture match."""

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.encoding import Patches
from triptych_server.capabilities.matching import RUN_PAIRS, Matcher, Matches
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.capabilities.mils.targets import Fits, Goal, Target, total
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import Image, Text

# Of one scorer, compared side by side: other calls find room between them.
RUNS = 4
# Texts whose runs are made at once; each is a task that waits for its turn.
SLICE = 64 * RUN_PAIRS


class MatchingScorer:
    """A `Scorer` by a model of image-text matching (BLIP-2, arXiv 2301.12597, section 3.1), whose
    targets and negatives are pictures. It embeds nothing.

    Raises `InvalidArgument`, about `targets[0].terms[0]` and the like, for targets of anything but
    one picture of weight 1. Patches of the pictures are computed once, and kept.
    """

    embeds = False

    def __init__(self, model: Model, goal: Goal, matcher: Matcher) -> None:
        self._model = model
        self._goal = goal
        self._matcher = matcher
        self._pictures = [(field, _picture(target, field)) for field, target in goal.named]
        self._patches: Sequence[Patches] = ()
        self._room = asyncio.Semaphore(RUNS)

    async def prepare(self, patience: Patience) -> ScoringCost:
        """Look at the pictures, if they were not looked at before; `score` does so too.

        Raises `InvalidArgument`, about `targets[0].terms[0].content.image` and the like, for a
        picture that cannot be read.
        """
        if self._patches:
            return ScoringCost()
        seen = await run_all(self._see(*each, patience) for each in self._pictures)
        self._patches = [patches for patches, _ in seen]
        return ScoringCost(times=StageTimes.longest(times for _, times in seen))

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(None, ScoringCost())

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        prepared = await self.prepare(Patience(begun=True))
        if not texts:
            return Scores([], prepared)
        parts = [await self._compare(some) for some in _sliced(texts, SLICE)]
        fits, targets = np.concatenate([fits for fits, _ in parts]), len(self._goal.targets)
        values = total(fits[:, :targets], fits[:, targets:], self._goal.aggregation)
        cost = prepared
        for _, times in parts:
            cost = cost.then(ScoringCost(times=times))
        return Scores(values.tolist(), cost.then(ScoringCost(matched_pairs=fits.size)))

    async def _see(
        self, field: str, picture: Image, patience: Patience
    ) -> tuple[Patches, StageTimes]:
        try:
            return await patience.admitted(lambda: self._matcher.patches(self._model, picture))
        except InvalidArgument as error:
            raise error.within(f"{field}.terms[0].content.image") from None

    async def _compare(self, texts: Sequence[str]) -> tuple[Fits, StageTimes]:
        """Of each text and each picture."""
        columns = await run_all(self._probabilities(patches, texts) for patches in self._patches)
        times = StageTimes.longest(times for _, times in columns)
        return np.array([probabilities for probabilities, _ in columns]).T, times

    async def _probabilities(
        self, patches: Patches, texts: Sequence[str]
    ) -> tuple[list[float], StageTimes]:
        """Of each text and one picture."""
        matched = await run_all(self._match(patches, some) for some in _sliced(texts, RUN_PAIRS))
        return (
            [p for matches in matched for p in matches.probabilities if p is not None],
            StageTimes.longest(matches.times for matches in matched),
        )

    async def _match(self, patches: Patches, texts: Sequence[str]) -> Matches:
        """One run, which waits for room by itself: what others have done is not done again."""
        pairs = [(0, text) for text in range(len(texts))]
        async with self._room:
            matches = await Patience(begun=True).admitted(
                lambda: self._matcher.match(self._model, [patches], texts, pairs)
            )
        for error in matches.errors.values():
            raise error
        return matches


def _sliced(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(texts), size):
        yield texts[first : first + size]


def _picture(target: Target, field: str) -> Image:
    """The picture of a target; raises `InvalidArgument` if it is anything else."""
    if len(target.terms) != 1:
        raise _unmatchable(f"{field}.terms", "a sum")
    [term] = target.terms
    if isinstance(term.source, np.ndarray):
        raise _unmatchable(f"{field}.terms[0].vector", "a vector")
    if isinstance(term.source, Text):
        raise _unmatchable(f"{field}.terms[0].content.text", "a text")
    if term.weight != 1:
        raise _unmatchable(f"{field}.terms[0].weight", "a weight other than 1")
    return term.source


def _unmatchable(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        field,
        "image-text matching compares texts with pictures: each target and negative must be one "
        f"picture, and not {what}",
        reason="MODALITY_NOT_SUPPORTED",
    )
