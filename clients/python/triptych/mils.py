"""What callers pass to and get from a search for text (MILS): frozen values, as in `types`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from triptych.contents import Content
from triptych.language import Usage
from triptych.types import Term, Timing

Source: TypeAlias = Content | npt.NDArray[np.floating[Any]]
"""Text, a picture, or a vector `[D]` of the model's space, of any length but zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A point of the embedding space: a weighted sum of 1 to 16 unit vectors.

    `Target.of(picture) - "red" + "blue"` is the picture with another colour.
    """

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, source: Source, weight: float = 1.0) -> "Target":
        """The target of one term."""
        return cls((Term(source, weight),))

    def __add__(self, other: "Source | Term | Target") -> "Target":
        return Target((*self.terms, *_terms(other)))

    def __sub__(self, other: "Source | Term | Target") -> "Target":
        return Target((*self.terms, *(Term(t.query, -t.weight) for t in _terms(other))))


def _terms(given: "Source | Term | Target") -> tuple[Term, ...]:
    match given:
        case Target(terms=terms):
            return terms
        case Term() as term:
            return (term,)
        case source:
            return (Term(source),)


Aim: TypeAlias = Source | Term | Target
"""What a text is to fit, or not to fit."""


class TargetAggregation(StrEnum):
    """How the scores of several targets become one: what is true of most, or of all of them."""

    MEAN = "mean"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Seeds:
    """Where a search begins. Without any, the generator begins with nothing to go by.

    The best `pool_limit` (up to 1,024; None is 64) of a seed `pool` of the gateway, up to 1,024
    `texts`, and with `caption` a caption of each target's picture by `caption_model`, empty being
    the gateway's default.
    """

    pool: str = ""
    pool_limit: int | None = None
    texts: Sequence[str] = ()
    caption: bool = False
    caption_model: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """How candidates are written; None is the gateway's default.

    Each step asks `model` for `candidates` (up to 256; None is 16), and shows it up to 64
    `examples` of scored captions. `temperature` None is 0.9, and 0 needs `candidates` of 1. A
    candidate longer than `max_tokens` (up to 1,000; None is 64) counts as not understood.
    `guidance` tells a chat model, in words, what else is wanted of the text.
    """

    model: str = ""
    candidates: int | None = None
    examples: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    guidance: str = ""


@dataclass(frozen=True, slots=True)
class ContrastiveScorer:
    """Scores by the cosine of text and target; the model has an image and a text encoder."""

    model: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class MatchingScorer:
    """Scores by the probability that text and picture match."""

    model: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Scoring:
    """What fits means: the weighted sum of up to 8 `scorers`, with weights above 0 and up to 1,000,
    none being the cosine of the gateway's default model.

    Of two texts whose vectors have a cosine above `near_duplicate_cosine` (0.5 to 1; None is 0.95)
    the later is not scored. At the end the best `finalists`, up to 256, are compared once more by
    the image-text matching of `finalist_model`, which orders the result. Where none has a matching
    score of 0.5, a search stands still three times as long as its patience before it ends.
    """

    scorers: Sequence[ContrastiveScorer | MatchingScorer] = ()
    near_duplicate_cosine: float | None = None
    finalists: int = 0
    finalist_model: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a search, whichever comes first; None is the gateway's default.

    `max_steps` up to 1,000 (None is 20, and 0 scores the seeds alone), `patience`, the steps
    without a better best, up to 1,000 (3), and `max_evaluations`, candidates scored, up to 100,000
    (500).
    """

    max_steps: int | None = None
    patience: int | None = None
    max_evaluations: int | None = None


class SolvePolicy(StrEnum):
    """How a search is run: Triptych's way, or that of the published loop, to compare with."""

    TRIPTYCH = "triptych"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A candidate or a seed, scored in which step (0 for seeds).

    `matching_score` is the probability that the text matches the targets, less the largest that it
    matches a negative; None but of finalists.
    """

    text: str
    score: float
    step: int
    matching_score: float | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a search took.

    - `evaluations`: candidates scored, seeds not counted.
    - `encoded_texts` went through a text encoder, of `known_texts` the vectors were known, and
      `ranked_seeds` of the pool were ranked by their stored vectors.
    - `matched_pairs` of a picture and a text were compared by image-text matching.
    - `duplicates` and `near_duplicates` of scored texts were not scored; `unparsed` replies of the
      generator were not understood.
    - `usage` of the generator, captions of seeds included.
    """

    evaluations: int = 0
    encoded_texts: int = 0
    known_texts: int = 0
    ranked_seeds: int = 0
    matched_pairs: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    unparsed: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class SolveStep:
    """A step: 0 is the seeds.

    `best` so far is None while there is none; `candidates` were scored in this step, best first.
    `spending` is so far, `timing` of this step.
    """

    step: int
    best: ScoredText | None
    candidates: tuple[ScoredText, ...]
    spending: Spending
    timing: Timing


class SolveStop(StrEnum):
    """What ended a search: one of its limits, or that the deadline was near."""

    STEPS = "steps"
    PATIENCE = "patience"
    EVALUATIONS = "evaluations"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class SolveResult:
    """The end of a search.

    `texts`, up to 64, are the finalists, then the others by their score. Finalists within 0.001 of
    the highest matching score come by their score, the rest of them by their matching score;
    the first is the result. `best` is the best by score. `stop` is None when the gateway tells one
    that is newer than this client. After DEADLINE finalists may not have been compared. `space` is
    that of the first contrastive scorer.
    """

    texts: tuple[ScoredText, ...]
    stop: SolveStop | None
    steps: int
    best: ScoredText | None
    spending: Spending
    timing: Timing
    space: str
    proposal_model: str
    scorer_models: tuple[str, ...]
    finalist_model: str

    @property
    def text(self) -> str:
        """The text that was found; empty when the generator wrote none that was understood."""
        return self.texts[0].text if self.texts else ""


@dataclass(frozen=True, slots=True)
class Proposed(Sequence[tuple[str, ...]]):
    """Captions about each subject, in the order given, those of a subject all different.

    `unparsed` replies were not understood.
    """

    results: tuple[tuple[str, ...], ...]
    model: str
    unparsed: int
    usage: Usage
    timing: Timing

    @overload
    def __getitem__(self, index: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[str, ...], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, ...] | tuple[tuple[str, ...], ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)
