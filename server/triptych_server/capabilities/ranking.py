"""Zero-shot ranking: candidates by their fit to one query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.embedding import Embedded, Embedder
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.encoders import Scoring
from triptych_server.errors import TriptychError
from triptych_server.media.content import Content, Text


@dataclass(frozen=True, slots=True)
class Score:
    """Cosine, and what the checkpoint makes of it; `probability` is 0 without a scale."""

    similarity: float
    probability: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """`order` holds positions of candidates, best first, those with an error last."""

    order: list[int]
    outcomes: list[Score | TriptychError]
    times: StageTimes


async def rank(
    embedder: Embedder,
    model: Model,
    query: Content,
    candidates: Sequence[Content | TriptychError],
    templates: Sequence[str],
) -> Ranking:
    """Score candidates against the query; text candidates are put into each of the `templates`.

    Query and candidates are embedded side by side. Raises what is wrong with the query.
    """
    prompts = [_prompts(candidate, templates) for candidate in candidates]
    flat = [prompt for each in prompts for prompt in each]
    wanted, *embedded = await embedder.embed_all(model, [query, *flat])
    if isinstance(wanted, TriptychError):
        raise wanted.within("query")
    ends = np.cumsum([0, *map(len, prompts)])
    pooled = [_pool(embedded[ends[i] : ends[i + 1]]) for i in range(len(prompts))]
    times = [each.times for each in (wanted, *embedded) if isinstance(each, Embedded)]
    outcomes = _score(wanted.vector, pooled, model.scoring)
    return Ranking(_order(outcomes), outcomes, StageTimes.longest(times))


def _prompts(
    candidate: Content | TriptychError, templates: Sequence[str]
) -> list[Content | TriptychError]:
    if isinstance(candidate, Text) and templates:
        return [Text(template.replace("{}", candidate.text)) for template in templates]
    return [candidate]


def _pool(embedded: Sequence[Embedded | TriptychError]) -> npt.NDArray[np.float32] | TriptychError:
    """Mean over the templates, of unit length."""
    vectors = []
    for each in embedded:
        if isinstance(each, TriptychError):
            return each
        vectors.append(each.vector)
    if len(vectors) == 1:
        return vectors[0]
    mean: npt.NDArray[np.float32] = np.mean(vectors, axis=0, dtype=np.float32)
    return mean / np.float32(max(np.linalg.norm(mean), np.finfo(np.float32).tiny))


def _score(
    query: npt.NDArray[np.float32],
    candidates: Sequence[npt.NDArray[np.float32] | TriptychError],
    scoring: Scoring | None,
) -> list[Score | TriptychError]:
    similarities = np.array([c @ query for c in candidates if not isinstance(c, TriptychError)])
    scores = iter(
        Score(float(similarity), float(probability))
        for similarity, probability in zip(
            similarities, _probabilities(similarities, scoring), strict=True
        )
    )
    return [each if isinstance(each, TriptychError) else next(scores) for each in candidates]


def _probabilities(
    similarities: npt.NDArray[np.float32], scoring: Scoring | None
) -> npt.NDArray[np.float64]:
    if scoring is None or not len(similarities):
        return np.zeros(len(similarities))
    logits = scoring.logit_scale * similarities.astype(np.float64) + scoring.logit_bias
    if scoring.kind == "sigmoid":
        matches: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0, -logits))
        return matches
    shares: npt.NDArray[np.float64] = np.exp(logits - np.logaddexp.reduce(logits))
    return shares


def _order(outcomes: Sequence[Score | TriptychError]) -> list[int]:
    """Stable: equal scores and errors keep the caller's order."""

    def key(position: int) -> float:
        outcome = outcomes[position]
        return 2.0 if isinstance(outcome, TriptychError) else -outcome.similarity

    return sorted(range(len(outcomes)), key=key)
