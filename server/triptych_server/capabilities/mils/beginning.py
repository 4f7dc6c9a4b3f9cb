"""What a search begins with: its targets as scorers see them, and its seeds."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from triptych_server.capabilities.captioning import Captioner, CaptionQuery, Captions
from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.embedding import Embedder
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.mils.candidates import Seed
from triptych_server.capabilities.mils.cast import Cast
from triptych_server.capabilities.mils.events import Spending
from triptych_server.capabilities.mils.queries import SolveQuery
from triptych_server.capabilities.mils.scorer import ScoringCost
from triptych_server.capabilities.mils.targets import Directions, Goal, directions
from triptych_server.capabilities.mils.texts import distinct
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.seed_pools import SeedPool
from triptych_server.errors import TriptychError
from triptych_server.media.content import EncodedImage, Image, RawImage

CAPTION_TOKENS = 30


@dataclass(frozen=True, slots=True)
class Begun:
    """`seeds` are distinct as normalised texts; the `begin_with` best of them are to take part.
    `directions` are of each contrastive model, by name."""

    seeds: Sequence[Seed]
    begin_with: int
    directions: Mapping[str, Directions]
    spending: Spending
    times: StageTimes


@dataclass(frozen=True, slots=True)
class _Written:
    """Captions of targets."""

    texts: Sequence[str] = ()
    usage: Usage = field(default_factory=Usage)
    times: StageTimes = field(default_factory=StageTimes)


class Beginning:
    """Embeds targets, ranks seed pools and captions pictures."""

    def __init__(self, embedder: Embedder, captioner: Captioner) -> None:
        self._embedder = embedder
        self._captioner = captioner

    async def begin(self, query: SolveQuery, cast: Cast) -> Begun:
        """Look at the targets and gather the seeds.

        Raises `InvalidArgument` about targets that cannot be read or embedded, and
        `ResourceExhausted` where there is no room for any; once there was, it waits.
        """
        of_model, cost = await self._look(query.goal, cast)
        written = _Written()
        if query.seeds.caption_model is not None:
            written = await self._captions(query.goal, query.seeds.caption_model)
        pooled, ranked = await _pooled(query, cast, of_model)
        given = [Seed(text) for text in (*query.seeds.texts, *written.texts)]
        seeds = await asyncio.to_thread(distinct, [*pooled, *given], attrgetter("text"))
        return Begun(
            seeds=list(seeds.values()),
            begin_with=query.seeds.pool_limit + len(given),
            directions=of_model,
            spending=Spending(
                encoded_texts=cost.encoded_texts, ranked_seeds=ranked, usage=written.usage
            ),
            times=cost.times.then(written.times),
        )

    async def _look(self, goal: Goal, cast: Cast) -> tuple[Mapping[str, Directions], ScoringCost]:
        """The targets in the space of each contrastive model, while those that match look at their
        pictures."""
        patience, of_model = Patience(), dict[str, Directions]()

        async def embed(model: Model) -> ScoringCost:
            of_model[model.name] = await directions(self._embedder, model, goal, patience)
            return of_model[model.name].cost

        costs = await run_all(
            [
                *map(embed, cast.contrastive.values()),
                *(matcher.prepare(patience) for matcher in cast.matchers.values()),
            ]
        )
        times = StageTimes.longest(cost.times for cost in costs)
        return of_model, ScoringCost(sum(cost.encoded_texts for cost in costs), times=times)

    async def _captions(self, goal: Goal, model: str) -> _Written:
        """One of each target that is a picture."""
        pictures = dict(_pictures(goal))
        if not pictures:
            return _Written()
        query = CaptionQuery(
            model=model,
            images=list(pictures.values()),
            prompt="",
            generation=Generation(Sampling(max_tokens=CAPTION_TOKENS), flexible=True),
        )
        # The call has begun: its targets found room.
        captioned = await Patience(begun=True).admitted(lambda: self._captioner.caption(query))
        written: list[Captions] = []
        for path, outcome in zip(pictures, captioned.outcomes, strict=True):
            if isinstance(outcome, TriptychError):
                raise outcome.within(path) if outcome.field else outcome
            written.append(outcome)
        return _Written(
            [caption.text for each in written for caption in each.captions if caption.text],
            Usage.sum(each.usage for each in written),
            StageTimes.longest(each.times for each in written),
        )


def _pictures(goal: Goal) -> Iterator[tuple[str, Image]]:
    """Targets that are one picture, with the paths of their fields."""
    for position, target in enumerate(goal.targets):
        term, alone = target.terms[0], len(target.terms) == 1
        if alone and term.weight > 0 and isinstance(term.source, EncodedImage | RawImage):
            yield f"targets[{position}].terms[0].content.image", term.source


async def _pooled(
    query: SolveQuery, cast: Cast, of_model: Mapping[str, Directions]
) -> tuple[Sequence[Seed], int]:
    """The seeds from the pool, and how many captions were ranked for them.

    The published loop encodes all of it anew, in the search itself.
    """
    if cast.pool is None or cast.first_contrastive is None:
        return (), 0
    if query.published:
        return await asyncio.to_thread(_unranked, cast.pool), 0
    score = of_model[cast.first_contrastive.name].score
    best = await cast.pool.rank(score, query.seeds.pool_limit)
    return [Seed(each.text, each.vector) for each in best], len(cast.pool)


def _unranked(pool: SeedPool) -> list[Seed]:
    return [Seed(text) for text in pool.captions]
