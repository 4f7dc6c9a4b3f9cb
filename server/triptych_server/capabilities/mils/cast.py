"""Who takes part in a search."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.mils.generator_proposer import GeneratorProposer
from triptych_server.capabilities.mils.matching_scorer import MatchingScorer
from triptych_server.capabilities.mils.queries import ScorerKind, ScorerQuery, SolveQuery
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import Role
from triptych_server.engines.seed_pools import SeedPool, SeedPools
from triptych_server.errors import FailedPrecondition, InvalidArgument, TriptychError

# Captions of a pool that one search encodes, whose vectors it holds all at once.
MOST_ENCODED = 100_000


@dataclass(frozen=True, slots=True)
class Cast:
    """The parts of one search. `scorers` has the model of each scorer of the query; `contrastive`
    are those among them, and `matchers` those of image-text matching, the judge included, by the
    names of their models."""

    proposer: GeneratorProposer
    scorers: Sequence[Model]
    contrastive: Mapping[str, Model]
    matchers: Mapping[str, MatchingScorer]
    judge: Model | None
    pool: SeedPool | None

    @property
    def first_contrastive(self) -> Model | None:
        """What ranks the pool and tells near duplicates."""
        return next(iter(self.contrastive.values()), None)

    @property
    def proposal_model(self) -> str:
        return self.proposer.language.model.name

    @property
    def scorer_models(self) -> list[str]:
        """Names, each once."""
        return list(dict.fromkeys(model.name for model in self.scorers))


class Casting:
    """Finds the parts of searches among the models of a catalog and the seed pools."""

    def __init__(self, catalog: ModelCatalog, matcher: Matcher, pools: SeedPools) -> None:
        self._catalog = catalog
        self._matcher = matcher
        self._pools = pools

    async def cast(self, query: SolveQuery) -> Cast:
        """Refuses whatever can be refused before any work: raises `NotFound`, `FailedPrecondition`
        and `InvalidArgument`, each naming its field, and `ResourceExhausted` when the generator has
        no room now."""
        scorers = [self._scorer(each, n) for n, each in enumerate(query.scoring.scorers)]
        judge = self._judge(query)
        of_kind: dict[ScorerKind, dict[str, Model]] = {kind: {} for kind in ScorerKind}
        for each, model in zip(query.scoring.scorers, scorers, strict=True):
            of_kind[each.kind][model.name] = model
        contrastive, matching = of_kind[ScorerKind.CONTRASTIVE], of_kind[ScorerKind.MATCHING]
        if query.seeds.caption_model is not None:
            with _about("seeds.caption_model"):
                self._catalog.get(query.seeds.caption_model, Task.VISION_LANGUAGE)
        return Cast(
            scorers=scorers,
            contrastive=contrastive,
            matchers={
                model.name: MatchingScorer(model, query.goal, self._matcher)
                for model in (*matching.values(), *([judge] if judge else []))
            },
            judge=judge,
            pool=await self._pool(query, next(iter(contrastive.values()), None)),
            proposer=await self._proposer(query),
        )

    def _scorer(self, scorer: ScorerQuery, position: int) -> Model:
        field = f"scoring.scorers[{position}].{scorer.kind}.model"
        with _about(field):
            if scorer.kind is ScorerKind.MATCHING:
                return self._catalog.get(scorer.model, Task.MATCH)
            model = self._catalog.get(scorer.model, Task.EMBED)
        try:
            model.encoder(Role.TEXT)
        except InvalidArgument as error:  # it embeds, but pictures alone
            raise error.at(field) from None
        return model

    def _judge(self, query: SolveQuery) -> Model | None:
        if not query.scoring.finalists:
            return None
        with _about("scoring.finalist_model"):
            return self._catalog.get(query.scoring.finalist_model, Task.MATCH)

    async def _pool(self, query: SolveQuery, ranked_by: Model | None) -> SeedPool | None:
        name = query.seeds.pool
        if not name:
            return None
        if ranked_by is None:
            raise InvalidArgument("seeds.pool", "is ranked by a contrastive scorer; there is none")
        pool = await self._pools.open(name)
        pool.check_space(ranked_by.name, ranked_by.space, ranked_by.dimension)
        if query.published and len(pool) > MOST_ENCODED:
            raise FailedPrecondition(
                f"the seed pool {name!r} has {len(pool):,} captions, and the published policy, "
                f"which encodes all of them, takes pools of {MOST_ENCODED:,} at most",
                reason="SEED_POOL_TOO_LARGE",
                field="seeds.pool",
            )
        return pool

    async def _proposer(self, query: SolveQuery) -> GeneratorProposer:
        proposal = query.proposal
        with _about("proposal.model"):
            language = LanguageModel.named(self._catalog, proposal.model, Task.PROPOSE)
        return await GeneratorProposer.prepared(
            language,
            proposal.generation,
            guidance=proposal.guidance,
            examples=proposal.examples,
            published=query.published,
        )


@contextmanager
def _about(field: str) -> Iterator[None]:
    """What is wrong with a `model` inside is wrong with this field."""
    try:
        yield
    except TriptychError as error:
        raise (error.at(field) if error.field else error) from None
