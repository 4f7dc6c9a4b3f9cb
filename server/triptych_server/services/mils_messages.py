"""mils.proto: its messages to values, and values to its messages."""

from triptych.v1 import mils_pb2
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.events import Spending, Step, Stop
from triptych_server.capabilities.mils.limits import Limits
from triptych_server.capabilities.mils.queries import (
    ProposalQuery,
    ProposeQuery,
    ScorerKind,
    ScorerQuery,
    ScoringQuery,
    SeedQuery,
    SolveQuery,
)
from triptych_server.capabilities.mils.solving import Solved
from triptych_server.capabilities.mils.targets import Aggregation, Goal, Target, Term
from triptych_server.capabilities.timing import Stopwatch
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.services import media, mils_rules
from triptych_server.services.vision_language_messages import usage

_AGGREGATIONS = {
    mils_pb2.TARGET_AGGREGATION_UNSPECIFIED: Aggregation.MEAN,
    mils_pb2.TARGET_AGGREGATION_MEAN: Aggregation.MEAN,
    mils_pb2.TARGET_AGGREGATION_MIN: Aggregation.MIN,
}
_STOPS = {
    Stop.STEPS: mils_pb2.SOLVE_STOP_STEPS,
    Stop.PATIENCE: mils_pb2.SOLVE_STOP_PATIENCE,
    Stop.EVALUATIONS: mils_pb2.SOLVE_STOP_EVALUATIONS,
    Stop.DEADLINE: mils_pb2.SOLVE_STOP_DEADLINE,
}


def solve_query(message: mils_pb2.SolveRequest) -> SolveQuery:
    """A valid message as a value."""
    published = message.policy == mils_pb2.SOLVE_POLICY_PUBLISHED
    return SolveQuery(
        goal=Goal(
            [_target(target) for target in message.targets],
            [_target(target) for target in message.negatives],
            _AGGREGATIONS[message.aggregation],
        ),
        seeds=_seeds(message.seeds),
        proposal=_proposal(message.proposal),
        scoring=_scoring(message.scoring),
        limits=_limits(message.limits),
        published=published,
        seed=message.seed if message.HasField("seed") else None,
    )


def propose_query(message: mils_pb2.ProposeRequest) -> ProposeQuery:
    """A valid message as a value."""
    return ProposeQuery(
        model=message.model,
        generation=_generation(message, mils_rules.PROPOSE_TEMPERATURE),
        subjects=list(message.subjects),
        count=message.count or mils_rules.PROPOSE_COUNT,
        guidance=message.guidance,
        seed=message.seed if message.HasField("seed") else None,
    )


def step(value: Step, watch: Stopwatch) -> mils_pb2.SolveStep:
    """`watch` was started with the step."""
    return mils_pb2.SolveStep(
        step=value.step,
        best=None if value.best is None else _scored(value.best),
        candidates=[_scored(candidate) for candidate in value.candidates],
        spending=_spending(value.spending),
        timing=media.timing(watch, value.times),
    )


def result(value: Solved, watch: Stopwatch) -> mils_pb2.SolveResult:
    """`watch` was started with the call."""
    found = value.result
    return mils_pb2.SolveResult(
        texts=[_scored(candidate) for candidate in found.texts],
        stop=_STOPS[found.stop],
        steps=found.steps,
        best=None if found.best is None else _scored(found.best),
        spending=_spending(found.spending),
        timing=media.timing(watch, found.times),
        space=value.space,
        proposal_model=value.proposal_model,
        scorer_models=value.scorer_models,
        finalist_model=value.finalist_model,
    )


def _target(message: mils_pb2.Target) -> Target:
    return Target([_term(term) for term in message.terms])


def _term(message: mils_pb2.TargetTerm) -> Term:
    weight = message.weight if message.HasField("weight") else 1.0
    if message.WhichOneof("kind") == "vector":
        return Term(media.vector(message.vector), weight)
    return Term(media.content(message.content), weight)


def _seeds(message: mils_pb2.Seeds) -> SeedQuery:
    return SeedQuery(
        pool=message.pool,
        pool_limit=message.pool_limit or mils_rules.POOL_LIMIT,
        texts=[text.strip() for text in message.texts],
        caption_model=message.caption_model if message.caption else None,
    )


def _proposal(message: mils_pb2.Proposal) -> ProposalQuery:
    return ProposalQuery(
        model=message.model,
        generation=_generation(message, mils_rules.TEMPERATURE),
        candidates=message.candidates or mils_rules.CANDIDATES,
        examples=message.examples,
        guidance=message.guidance,
    )


def _generation(
    message: mils_pb2.Proposal | mils_pb2.ProposeRequest, temperature: float
) -> Generation:
    sampling = Sampling(
        max_tokens=message.max_tokens or mils_rules.MAX_TOKENS,
        temperature=message.temperature if message.HasField("temperature") else temperature,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
    )
    return Generation(sampling, flexible=not message.max_tokens)


def _scoring(message: mils_pb2.Scoring) -> ScoringQuery:
    default = ScorerQuery(ScorerKind.CONTRASTIVE, "", 1.0)
    given = message.HasField("near_duplicate_cosine")
    return ScoringQuery(
        scorers=[_scorer(scorer) for scorer in message.scorers] or [default],
        near_duplicate_cosine=(
            message.near_duplicate_cosine if given else mils_rules.NEAR_DUPLICATE_COSINE
        ),
        finalists=message.finalists,
        finalist_model=message.finalist_model,
    )


def _scorer(message: mils_pb2.Scorer) -> ScorerQuery:
    weight = message.weight if message.HasField("weight") else 1.0
    if message.WhichOneof("kind") == "matching":
        return ScorerQuery(ScorerKind.MATCHING, message.matching.model, weight)
    return ScorerQuery(ScorerKind.CONTRASTIVE, message.contrastive.model, weight)


def _limits(message: mils_pb2.Limits) -> Limits:
    return Limits(
        max_steps=message.max_steps if message.HasField("max_steps") else mils_rules.MAX_STEPS,
        patience=message.patience or mils_rules.PATIENCE,
        max_evaluations=message.max_evaluations or mils_rules.MAX_EVALUATIONS,
    )


def _scored(candidate: Candidate) -> mils_pb2.ScoredText:
    return mils_pb2.ScoredText(
        text=candidate.text,
        score=candidate.score,
        matching_score=candidate.matching_score,
        step=candidate.step,
    )


def _spending(value: Spending) -> mils_pb2.Spending:
    return mils_pb2.Spending(
        evaluations=value.evaluations,
        encoded_texts=value.encoded_texts,
        known_texts=value.known_texts,
        ranked_seeds=value.ranked_seeds,
        matched_pairs=value.matched_pairs,
        duplicates=value.duplicates,
        near_duplicates=value.near_duplicates,
        unparsed=value.unparsed,
        usage=usage(value.usage),
    )
