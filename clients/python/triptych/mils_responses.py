"""Response messages of searches for text to callers' values; see `responses`."""

from collections.abc import Sequence

from triptych.language import Usage
from triptych.language_responses import usage
from triptych.mils import (
    Proposed,
    ScoredText,
    SolveResult,
    SolveStep,
    SolveStop,
    Spending,
)
from triptych.responses import timing
from triptych.types import Timing
from triptych.v1 import mils_pb2

_STOPS = {
    mils_pb2.SOLVE_STOP_STEPS: SolveStop.STEPS,
    mils_pb2.SOLVE_STOP_PATIENCE: SolveStop.PATIENCE,
    mils_pb2.SOLVE_STOP_EVALUATIONS: SolveStop.EVALUATIONS,
    mils_pb2.SOLVE_STOP_DEADLINE: SolveStop.DEADLINE,
}


def solve_event(response: mils_pb2.SolveResponse) -> SolveStep | SolveResult | None:
    """None for an event that is newer than this client."""
    match response.WhichOneof("event"):
        case "step":
            return _step(response.step)
        case "result":
            return _result(response.result)
        case _:
            return None


def _step(message: mils_pb2.SolveStep) -> SolveStep:
    return SolveStep(
        step=message.step,
        best=_scored(message.best) if message.HasField("best") else None,
        candidates=tuple(map(_scored, message.candidates)),
        spending=_spending(message.spending),
        timing=timing(message.timing),
    )


def _result(message: mils_pb2.SolveResult) -> SolveResult:
    return SolveResult(
        texts=tuple(map(_scored, message.texts)),
        stop=_STOPS.get(message.stop),
        steps=message.steps,
        best=_scored(message.best) if message.HasField("best") else None,
        spending=_spending(message.spending),
        timing=timing(message.timing),
        space=message.space,
        proposal_model=message.proposal_model,
        scorer_models=tuple(message.scorer_models),
        finalist_model=message.finalist_model,
    )


def _scored(message: mils_pb2.ScoredText) -> ScoredText:
    return ScoredText(
        text=message.text,
        score=message.score,
        step=message.step,
        matching_score=message.matching_score if message.HasField("matching_score") else None,
    )


def _spending(message: mils_pb2.Spending) -> Spending:
    return Spending(
        evaluations=message.evaluations,
        encoded_texts=message.encoded_texts,
        known_texts=message.known_texts,
        ranked_seeds=message.ranked_seeds,
        matched_pairs=message.matched_pairs,
        duplicates=message.duplicates,
        near_duplicates=message.near_duplicates,
        unparsed=message.unparsed,
        usage=usage(message.usage),
    )


def proposed(responses: Sequence[mils_pb2.ProposeResponse]) -> Proposed:
    """Join the responses of one `propose`, at least one."""
    return Proposed(
        results=tuple(tuple(result.texts) for r in responses for result in r.results),
        model=responses[0].model,
        unparsed=sum(r.unparsed for r in responses),
        usage=sum((usage(r.usage) for r in responses), Usage()),
        timing=sum((timing(r.timing) for r in responses), Timing()),
    )
