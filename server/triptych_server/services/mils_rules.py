"""The field rules of mils.proto."""

from collections.abc import Iterator
from typing import Any

from triptych.v1 import mils_pb2
from triptych_server.errors import Violation
from triptych_server.services import media
from triptych_server.services.rules import (
    Rule,
    above,
    all_of,
    between,
    characters,
    count,
    each,
    fields,
    finite,
    matching,
    not_blank,
    one_of,
    optional,
)

# What a request gets that does not say.
POOL_LIMIT = 64
CANDIDATES = 16
TEMPERATURE = 0.9
PROPOSE_COUNT = 8
PROPOSE_TEMPERATURE = 1.0
MAX_TOKENS = 64
NEAR_DUPLICATE_COSINE = 0.95
MAX_STEPS = 20
PATIENCE = 3
MAX_EVALUATIONS = 500

# Of a scorer: weighted sums stay far within float32, in which responses have them.
MOST_WEIGHT = 1_000

POOL_NAME = matching(r"[\w.-]{0,128}", "a seed pool's name: letters, digits, `.`, `_` and `-`")


def _weight(term: Any, path: str) -> Iterator[Violation]:
    if term.HasField("weight"):
        yield from finite(term.weight, f"{path}.weight")
        if term.weight == 0:
            yield Violation(f"{path}.weight", "must not be zero")


def _one_of_many(name: str, default: int) -> Rule:
    """A request whose `name` is 1 where texts are chosen greedily: they would all be equal."""

    def rule(message: Any, path: str) -> Iterator[Violation]:
        texts = getattr(message, name) or default
        if message.HasField("temperature") and message.temperature == 0 and texts != 1:
            where = f"{path}.{name}" if path else name
            yield Violation(where, f"must be 1 with a temperature of 0; is {texts:,}")

    return rule


def _aggregation(value: int, path: str) -> Iterator[Violation]:
    if value not in mils_pb2.TargetAggregation.values():
        yield Violation(path, f"must be MEAN or MIN, is {value}")


def _policy(value: int, path: str) -> Iterator[Violation]:
    if value not in mils_pb2.SolvePolicy.values():
        yield Violation(path, f"must be PUBLISHED or absent, is {value}")


WRITING = all_of(
    fields(model=media.MODEL_NAME, max_tokens=between(0, 1_000), guidance=characters(0, 2_000)),
    optional(temperature=between(0, 2), top_p=above(0, 1)),
)
TERM = all_of(one_of("kind", content=media.CONTENT, vector=media.VECTOR), _weight)
TARGET = fields(terms=all_of(count(1, 16), each(TERM)))
SEEDS = fields(
    pool=POOL_NAME,
    pool_limit=between(0, 1_024),
    texts=all_of(count(0, 1_024), each(all_of(not_blank, characters(0, 1_000)))),
    caption_model=media.MODEL_NAME,
)
PROPOSAL = all_of(
    WRITING,
    fields(candidates=between(0, 256), examples=between(0, 64)),
    _one_of_many("candidates", CANDIDATES),
)
SCORER = all_of(
    one_of(
        "kind",
        contrastive=fields(model=media.MODEL_NAME),
        matching=fields(model=media.MODEL_NAME),
    ),
    optional(weight=above(0, MOST_WEIGHT)),
)
SCORING = all_of(
    fields(
        scorers=all_of(count(0, 8), each(SCORER)),
        finalists=between(0, 256),
        finalist_model=media.MODEL_NAME,
    ),
    optional(near_duplicate_cosine=between(0.5, 1)),
)
LIMITS = all_of(
    fields(patience=between(0, 1_000), max_evaluations=between(0, 100_000)),
    optional(max_steps=between(0, 1_000)),
)
SOLVE = fields(
    targets=all_of(count(1, 16), each(TARGET)),
    aggregation=_aggregation,
    negatives=all_of(count(0, 16), each(TARGET)),
    seeds=SEEDS,
    proposal=PROPOSAL,
    scoring=SCORING,
    limits=LIMITS,
    policy=_policy,
)
PROPOSE = all_of(
    WRITING,
    fields(
        subjects=all_of(count(1, 64), each(all_of(not_blank, characters(0, 200)))),
        count=between(0, 64),
    ),
    _one_of_many("count", PROPOSE_COUNT),
)
