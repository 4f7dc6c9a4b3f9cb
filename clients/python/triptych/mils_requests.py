"""Callers' values to the request messages of searches for text; see `requests`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from triptych import contents, vectors
from triptych.mils import (
    Aim,
    ContrastiveScorer,
    Limits,
    MatchingScorer,
    Proposal,
    Scoring,
    Seeds,
    SolvePolicy,
    Target,
    TargetAggregation,
)
from triptych.requests import fill, several
from triptych.types import ItemRef, Term
from triptych.v1 import mils_pb2

PROPOSE_SUBJECTS = 64  # subjects that one Propose call takes

_AGGREGATIONS = {
    TargetAggregation.MEAN: mils_pb2.TARGET_AGGREGATION_MEAN,
    TargetAggregation.MIN: mils_pb2.TARGET_AGGREGATION_MIN,
}
_POLICIES = {
    SolvePolicy.TRIPTYCH: mils_pb2.SOLVE_POLICY_UNSPECIFIED,
    SolvePolicy.PUBLISHED: mils_pb2.SOLVE_POLICY_PUBLISHED,
}


def solve(
    targets: Aim | Iterable[Aim],
    *,
    aggregation: TargetAggregation,
    negatives: Aim | Iterable[Aim],
    seeds: Seeds | None,
    proposal: Proposal | None,
    scoring: Scoring | None,
    limits: Limits | None,
    policy: SolvePolicy,
    seed: int | None,
) -> Callable[[], mils_pb2.SolveRequest]:
    """What builds the request. All is checked now; it reads the files of pictures."""
    aims = _targets(targets, "targets")
    none = isinstance(negatives, list | tuple) and not negatives
    turned_from = () if none else _targets(negatives, "negatives")
    options = mils_pb2.SolveRequest(
        aggregation=_AGGREGATIONS[TargetAggregation(aggregation)],
        seeds=_seeds(seeds or Seeds()),
        proposal=_proposal(proposal or Proposal()),
        scoring=_scoring(scoring or Scoring()),
        limits=_limits(limits or Limits()),
        policy=_POLICIES[SolvePolicy(policy)],
    )
    fill(options, {"seed": seed})

    def build() -> mils_pb2.SolveRequest:
        request = mils_pb2.SolveRequest(
            targets=_messages(aims, "targets"), negatives=_messages(turned_from, "negatives")
        )
        request.MergeFrom(options)
        return request

    return build


def propose(
    subjects: str | Iterable[str],
    *,
    count: int | None,
    model: str,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int | None,
    guidance: str,
    seed: int | None,
) -> Iterator[mils_pb2.ProposeRequest]:
    """As many requests as needed. All is checked now."""
    wanted = several(subjects, "subjects")
    for position, subject in enumerate(wanted):
        contents.check_text(subject, f"subjects[{position}]")
    contents.check_text(guidance, "guidance")
    counts = {"count": count, "max_tokens": max_tokens}
    _check_counts(counts)
    common = mils_pb2.ProposeRequest(model=model, guidance=guidance)
    fill(common, {**counts, "temperature": temperature, "top_p": top_p, "seed": seed})
    return (_about(common, batch) for batch in _batches(wanted))


def _about(common: mils_pb2.ProposeRequest, subjects: list[str]) -> mils_pb2.ProposeRequest:
    request = mils_pb2.ProposeRequest(subjects=subjects)
    request.MergeFrom(common)
    return request


def _batches(subjects: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(subjects)
    while batch := list(islice(remaining, PROPOSE_SUBJECTS)):
        yield batch


def _targets(given: Aim | Iterable[Aim], where: str) -> tuple[Target, ...]:
    """The targets, checked; no file is read."""
    targets = []
    for position, aim in enumerate(several(given, where)):
        target = aim if isinstance(aim, Target) else Target(()) + aim
        for part, term in enumerate(target.terms):
            _check(term, f"{where}[{position}].terms[{part}]")
        targets.append(target)
    return tuple(targets)


def _check(term: object, where: str) -> None:
    match term:
        case Term(query=np.ndarray() as array) if array.ndim == 1:
            vectors.to_message(array, where)
        case Term(query=ItemRef()):
            raise TypeError(f"{where}: an item of a collection is no term of a target")
        case Term(query=content):
            contents.check(content, where)
        case _:
            raise TypeError(f"{where}: expected a Term, got {type(term).__name__}")


def _messages(targets: Iterable[Target], where: str) -> Iterator[mils_pb2.Target]:
    for position, target in enumerate(targets):
        yield mils_pb2.Target(
            terms=[
                _term(term, f"{where}[{position}].terms[{part}]")
                for part, term in enumerate(target.terms)
            ]
        )


def _term(term: Term, where: str) -> mils_pb2.TargetTerm:
    message = mils_pb2.TargetTerm()
    fill(message, {"weight": term.weight}, where)
    if isinstance(term.query, np.ndarray) and term.query.ndim == 1:
        message.vector.CopyFrom(vectors.to_message(term.query, where))
    else:
        message.content.CopyFrom(contents.to_message(term.query, where))
    return message


def _seeds(given: Seeds) -> mils_pb2.Seeds:
    if isinstance(given.texts, str):
        raise TypeError("seeds.texts: a sequence of texts, not one str")
    for position, text in enumerate(given.texts):
        contents.check_text(text, f"seeds.texts[{position}]")
    message = mils_pb2.Seeds(texts=given.texts, caption=given.caption)
    _check_counts({"pool_limit": given.pool_limit}, "seeds")
    values = {name: getattr(given, name) for name in ("pool", "pool_limit", "caption_model")}
    fill(message, values, "seeds")
    return message


def _proposal(given: Proposal) -> mils_pb2.Proposal:
    contents.check_text(given.guidance, "proposal.guidance")
    counts = {name: getattr(given, name) for name in ("candidates", "examples", "max_tokens")}
    _check_counts(counts, "proposal")
    names = ("model", "temperature", "top_p", "guidance")
    message = mils_pb2.Proposal()
    fill(message, {**counts, **{name: getattr(given, name) for name in names}}, "proposal")
    return message


def _scoring(given: Scoring) -> mils_pb2.Scoring:
    message = mils_pb2.Scoring(scorers=_scorers(given.scorers))
    names = ("near_duplicate_cosine", "finalists", "finalist_model")
    fill(message, {name: getattr(given, name) for name in names}, "scoring")
    return message


def _scorers(given: Sequence[ContrastiveScorer | MatchingScorer]) -> Iterator[mils_pb2.Scorer]:
    for position, scorer in enumerate(given):
        where = f"scoring.scorers[{position}]"
        message = mils_pb2.Scorer()
        match scorer:
            case ContrastiveScorer(model=model):
                message.contrastive.model = model
            case MatchingScorer(model=model):
                message.matching.model = model
            case _:
                raise TypeError(f"{where}: expected a scorer, got {type(scorer).__name__}")
        fill(message, {"weight": scorer.weight}, where)
        yield message


def _limits(given: Limits) -> mils_pb2.Limits:
    counts = {"patience": given.patience, "max_evaluations": given.max_evaluations}
    _check_counts(counts, "limits")
    message = mils_pb2.Limits()
    fill(message, {**counts, "max_steps": given.max_steps}, "limits")
    return message


def _check_counts(counts: Mapping[str, int | None], where: str = "") -> None:
    """Refuse 0 where it would be taken for the default on the wire."""
    for name, count in counts.items():
        if count == 0:
            path = f"{where}.{name}".lstrip(".")
            raise ValueError(f"{path}: at least 1; None is the gateway's default")
