"""What a search asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.mils.limits import Limits
from triptych_server.capabilities.mils.targets import Goal


class ScorerKind(StrEnum):
    """How a scorer measures the fit of a text: by the cosine, or by the probability of a match."""

    CONTRASTIVE = "contrastive"
    MATCHING = "matching"


@dataclass(frozen=True, slots=True)
class SeedQuery:
    """Where to begin: with the `pool_limit` best of a pool (none of an empty name), with texts,
    and with captions of the targets, by the default model if `caption_model` is empty; None for
    none."""

    pool: str
    pool_limit: int
    texts: Sequence[str]
    caption_model: str | None


@dataclass(frozen=True, slots=True)
class ProposalQuery:
    """Who writes `candidates` a step, and how; an empty name is the default's. `examples` are shown
    at most, 0 for what the model is best with."""

    model: str
    generation: Generation
    candidates: int
    examples: int
    guidance: str


@dataclass(frozen=True, slots=True)
class ScorerQuery:
    """One scorer of a weighted sum; an empty name is the default's."""

    kind: ScorerKind
    model: str
    weight: float


@dataclass(frozen=True, slots=True)
class ScoringQuery:
    """Who scores, at least one scorer, and who compares so many `finalists`."""

    scorers: Sequence[ScorerQuery]
    near_duplicate_cosine: float
    finalists: int
    finalist_model: str


@dataclass(frozen=True, slots=True)
class SolveQuery:
    """One search. `published` asks for the policy of the published loop; `seed` None draws one."""

    goal: Goal
    seeds: SeedQuery
    proposal: ProposalQuery
    scoring: ScoringQuery
    limits: Limits
    published: bool
    seed: int | None


@dataclass(frozen=True, slots=True)
class ProposeQuery:
    """Captions about subjects, `count` of each; an empty name is the default's."""

    model: str
    generation: Generation
    subjects: Sequence[str]
    count: int
    guidance: str
    seed: int | None
