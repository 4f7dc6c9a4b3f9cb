"""What Solve and Propose accept, field by field."""

import math
from typing import Any

import numpy as np
import pytest
from calls import encoded, text, vector

from triptych.v1.mils_pb2 import (
    ContrastiveScorer,
    Limits,
    MatchingScorer,
    Proposal,
    ProposeRequest,
    Scorer,
    Scoring,
    Seeds,
    SolveRequest,
    Target,
    TargetTerm,
)
from triptych_server.errors import InvalidArgument
from triptych_server.services.mils_rules import PROPOSE, SOLVE
from triptych_server.services.rules import check

PICTURE = TargetTerm(content=encoded(b"a picture"))
TARGET = Target(terms=[PICTURE])


def violated(rule: Any, message: Any) -> list[str]:
    try:
        check(rule, message)
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


def solve(**fields: Any) -> list[str]:
    return violated(SOLVE, SolveRequest(**({"targets": [TARGET]} | fields)))


def propose(**fields: Any) -> list[str]:
    return violated(PROPOSE, ProposeRequest(**({"subjects": ["dog"]} | fields)))


@pytest.mark.parametrize(
    ("term", "violations"),
    [
        (PICTURE, []),
        (TargetTerm(), [""]),
        (TargetTerm(content=text(" ")), [".content.text"]),
        (TargetTerm(content=text("red"), weight=-1), []),
        (TargetTerm(content=text("red"), weight=0), [".weight"]),
        (TargetTerm(content=text("red"), weight=math.nan), [".weight"]),
        (TargetTerm(content=text("red"), weight=math.inf), [".weight"]),
        (TargetTerm(vector=vector(np.ones(4))), []),
        (TargetTerm(vector=vector(np.array([1.0, math.nan]))), [".vector.data"]),
        (TargetTerm(vector=vector(np.ones(0))), [".vector.dimension"]),
    ],
)
def test_terms(term: TargetTerm, violations: list[str]) -> None:
    target = Target(terms=[PICTURE, term])
    assert solve(targets=[target]) == [f"targets[0].terms[1]{each}" for each in violations]
    assert solve(negatives=[target]) == [f"negatives[0].terms[1]{each}" for each in violations]


def test_numbers_of_targets_and_terms() -> None:
    assert solve(targets=[]) == ["targets"]
    assert solve(targets=[TARGET] * 16, negatives=[TARGET] * 16) == []
    assert solve(targets=[TARGET] * 17) == ["targets"]
    assert solve(negatives=[TARGET] * 17) == ["negatives"]
    assert solve(targets=[Target()]) == ["targets[0].terms"]
    assert solve(targets=[Target(terms=[PICTURE] * 17)]) == ["targets[0].terms"]


@pytest.mark.parametrize(
    ("seeds", "violations"),
    [
        ({}, []),
        ({"pool": "miniworld-30k", "pool_limit": 1_024}, []),
        ({"pool": "../secrets"}, ["pool"]),
        ({"pool_limit": 1_025}, ["pool_limit"]),
        ({"texts": ["x" * 1_000] * 1_024}, []),
        ({"texts": ["a"] * 1_025}, ["texts"]),
        ({"texts": ["a", " \n", "x" * 1_001]}, ["texts[1]", "texts[2]"]),
        ({"caption_model": "a/b"}, ["caption_model"]),
    ],
)
def test_seeds(seeds: dict[str, Any], violations: list[str]) -> None:
    assert solve(seeds=Seeds(**seeds)) == [f"seeds.{each}" for each in violations]


@pytest.mark.parametrize(
    ("proposal", "violations"),
    [
        ({"candidates": 256, "examples": 64, "max_tokens": 1_000, "guidance": "x" * 2_000}, []),
        ({"candidates": 257}, ["candidates"]),
        ({"examples": 65}, ["examples"]),
        ({"max_tokens": 1_001}, ["max_tokens"]),
        ({"guidance": "x" * 2_001}, ["guidance"]),
        ({"model": "a/b"}, ["model"]),
        ({"temperature": 2.1}, ["temperature"]),
        ({"temperature": math.nan}, ["temperature"]),
        ({"top_p": 0.0}, ["top_p"]),
        ({"temperature": 0.0, "candidates": 1}, []),
        ({"temperature": 0.0}, ["candidates"]),
        ({"temperature": 0.0, "candidates": 2}, ["candidates"]),
    ],
)
def test_proposal(proposal: dict[str, Any], violations: list[str]) -> None:
    assert solve(proposal=Proposal(**proposal)) == [f"proposal.{each}" for each in violations]


@pytest.mark.parametrize(
    ("scoring", "violations"),
    [
        ({"scorers": [Scorer(contrastive=ContrastiveScorer())] * 8}, []),
        ({"scorers": [Scorer(contrastive=ContrastiveScorer())] * 9}, ["scorers"]),
        ({"scorers": [Scorer()]}, ["scorers[0]"]),
        (
            {"scorers": [Scorer(matching=MatchingScorer(model="a/b"))]},
            ["scorers[0].matching.model"],
        ),
        ({"scorers": [Scorer(matching=MatchingScorer(), weight=0)]}, ["scorers[0].weight"]),
        ({"scorers": [Scorer(matching=MatchingScorer(), weight=1_000)]}, []),
        ({"scorers": [Scorer(matching=MatchingScorer(), weight=1_001)]}, ["scorers[0].weight"]),
        ({"scorers": [Scorer(matching=MatchingScorer(), weight=math.inf)]}, ["scorers[0].weight"]),
        ({"scorers": [Scorer(matching=MatchingScorer(), weight=math.nan)]}, ["scorers[0].weight"]),
        ({"near_duplicate_cosine": 0.5, "finalists": 256}, []),
        ({"near_duplicate_cosine": 1.0}, []),
        ({"near_duplicate_cosine": 0.0}, ["near_duplicate_cosine"]),
        ({"near_duplicate_cosine": math.nan}, ["near_duplicate_cosine"]),
        ({"finalists": 257}, ["finalists"]),
        ({"finalist_model": "a/b"}, ["finalist_model"]),
    ],
)
def test_scoring(scoring: dict[str, Any], violations: list[str]) -> None:
    assert solve(scoring=Scoring(**scoring)) == [f"scoring.{each}" for each in violations]


@pytest.mark.parametrize(
    ("limits", "violations"),
    [
        ({"max_steps": 0}, []),
        ({"max_steps": 1_000, "patience": 1_000, "max_evaluations": 100_000}, []),
        ({"max_steps": 1_001}, ["max_steps"]),
        ({"patience": 1_001}, ["patience"]),
        ({"max_evaluations": 100_001}, ["max_evaluations"]),
    ],
)
def test_limits(limits: dict[str, Any], violations: list[str]) -> None:
    assert solve(limits=Limits(**limits)) == [f"limits.{each}" for each in violations]


def test_choices_that_do_not_exist() -> None:
    assert solve(aggregation=7, policy=7) == ["aggregation", "policy"]


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({"subjects": ["striped red star"] * 64, "count": 64}, []),
        ({"subjects": []}, ["subjects"]),
        ({"subjects": ["a"] * 65}, ["subjects"]),
        ({"subjects": ["a", " ", "x" * 201]}, ["subjects[1]", "subjects[2]"]),
        ({"count": 65}, ["count"]),
        ({"temperature": 2.1, "top_p": 1.1}, ["temperature", "top_p"]),
        ({"temperature": 0.0}, ["count"]),
        ({"temperature": 0.0, "count": 1}, []),
        ({"max_tokens": 1_001, "guidance": "x" * 2_001}, ["max_tokens", "guidance"]),
        ({"model": "a b"}, ["model"]),
    ],
)
def test_propose(fields: dict[str, Any], violations: list[str]) -> None:
    assert propose(**fields) == violations
