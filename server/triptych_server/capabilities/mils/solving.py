"""Searches, composed of models and seed pools."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from triptych_server import deadline
from triptych_server.capabilities.mils import loop
from triptych_server.capabilities.mils.beginning import Beginning, Begun
from triptych_server.capabilities.mils.cast import Cast, Casting
from triptych_server.capabilities.mils.contrastive_scorer import ContrastiveScorer
from triptych_server.capabilities.mils.ensemble import Ensemble
from triptych_server.capabilities.mils.events import Result, Step
from triptych_server.capabilities.mils.queries import ScorerKind, SolveQuery
from triptych_server.capabilities.mils.scorer import Scorer
from triptych_server.capabilities.mils.search import Search
from triptych_server.capabilities.mils.text_vectors import TextVectors
from triptych_server.capabilities.model import Model

# Of the time that a call has, what its result needs to be made and to reach the caller: a twentieth
# of it, within these bounds in seconds.
MARGIN_SHARE, LEAST_MARGIN_S, MOST_MARGIN_S = 0.05, 0.05, 1.0


@dataclass(frozen=True, slots=True)
class Solved:
    """How a search ended, and who took part; names are empty where nobody did."""

    result: Result
    space: str
    proposal_model: str
    scorer_models: Sequence[str]
    finalist_model: str


class Solver:
    """Searches for texts; their vectors come from `vectors`."""

    def __init__(self, casting: Casting, beginning: Beginning, vectors: TextVectors) -> None:
        self._casting = casting
        self._beginning = beginning
        self._vectors = vectors

    async def solve(self, query: SolveQuery) -> AsyncGenerator[Step | Solved, None]:
        """A `Step` for the seeds and one for each step, then how the search ended.

        Raises as `Casting.cast` before any work, as `Beginning.begin`, and as `loop.solve`; the
        best so far is the result a moment before the deadline of the call.
        """
        end = _end(deadline.remaining())
        cast = await self._casting.cast(query)
        begun = await self._beginning.begin(query, cast)
        scorer = self._scorer(query, cast, begun)
        judge = cast.matchers[cast.judge.name] if cast.judge else None
        search = _search(query, begun)
        async with aclosing(loop.solve(search, cast.proposer, scorer, judge, end)) as events:
            async for event in events:
                spending = begun.spending.then(event.spending)
                if isinstance(event, Step):
                    times = event.times if event.step else begun.times.then(event.times)
                    yield replace(event, spending=spending, times=times)
                else:
                    times = begun.times.then(event.times)
                    yield _solved(cast, replace(event, spending=spending, times=times))

    def _scorer(self, query: SolveQuery, cast: Cast, begun: Begun) -> Scorer:
        def part(kind: ScorerKind, model: Model) -> Scorer:
            if kind is ScorerKind.MATCHING:
                return cast.matchers[model.name]
            towards = begun.directions[model.name]
            return ContrastiveScorer(model, towards, self._vectors, remember=not query.published)

        parts = [
            (part(scorer.kind, model), scorer.weight)
            for scorer, model in zip(query.scoring.scorers, cast.scorers, strict=True)
        ]
        return Ensemble(parts)


def _search(query: SolveQuery, begun: Begun) -> Search:
    published = query.published
    return Search(
        seeds=begun.seeds,
        begin_with=begun.begin_with,
        candidates=query.proposal.candidates,
        limits=replace(query.limits, patience=None) if published else query.limits,
        near_duplicate_cosine=1.0 if published else query.scoring.near_duplicate_cosine,
        seed=secrets.randbits(64) if query.seed is None else query.seed,
        finalists=query.scoring.finalists,
        published=published,
    )


def _solved(cast: Cast, result: Result) -> Solved:
    compared = any(each.matching_score is not None for each in result.texts)
    return Solved(
        result=result,
        space=cast.first_contrastive.space if cast.first_contrastive else "",
        proposal_model=cast.proposal_model if result.steps else "",
        scorer_models=cast.scorer_models,
        finalist_model=cast.judge.name if cast.judge and compared else "",
    )


def _end(remaining_s: float | None) -> float | None:
    """The moment of the event loop's clock at which the result must be on its way."""
    if remaining_s is None:
        return None
    margin = min(max(remaining_s * MARGIN_SHARE, LEAST_MARGIN_S), MOST_MARGIN_S)
    return asyncio.get_running_loop().time() + remaining_s - margin
