"""What searches for text send."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import (
    ContrastiveScorer,
    ItemRef,
    Limits,
    MatchingScorer,
    Proposal,
    Scoring,
    Seeds,
    SolvePolicy,
    Target,
    TargetAggregation,
    Term,
    mils_requests,
)
from triptych.v1 import mils_pb2

RED = np.zeros((2, 2, 3), np.uint8)
VECTOR = np.array([0.5, -2], np.float32)


def solve(targets: Any, **options: Any) -> mils_pb2.SolveRequest:
    defaults = {
        "aggregation": TargetAggregation.MEAN,
        "negatives": (),
        "seeds": None,
        "proposal": None,
        "scoring": None,
        "limits": None,
        "policy": SolvePolicy.TRIPTYCH,
        "seed": None,
    }
    return mils_requests.solve(targets, **{**defaults, **options})()


def propose(subjects: Any, **options: Any) -> list[mils_pb2.ProposeRequest]:
    defaults = dict.fromkeys(("count", "temperature", "top_p", "max_tokens", "seed"))
    texts = {"model": "", "guidance": ""}
    return list(mils_requests.propose(subjects, **{**defaults, **texts, **options}))


def kinds(targets: Any) -> list[list[tuple[str, float]]]:
    return [
        [
            (term.content.WhichOneof("kind") or term.WhichOneof("kind"), term.weight)
            for term in target.terms
        ]
        for target in targets
    ]


def test_one_picture_is_one_target_and_nothing_else_is_said() -> None:
    request = solve(RED)
    assert kinds(request.targets) == [[("image", 1)]]
    assert not request.negatives
    assert request.aggregation == mils_pb2.TARGET_AGGREGATION_MEAN
    assert not request.HasField("seed")
    for name in ("seeds", "proposal", "scoring", "limits"):
        assert getattr(request, name).ByteSize() == 0


def test_several_pictures_are_several_targets() -> None:
    assert kinds(solve([RED, b"a file"]).targets) == [[("image", 1)], [("image", 1)]]
    assert kinds(solve(np.stack([RED, RED])).targets) == [[("image", 1)], [("image", 1)]]


def test_a_sum_is_one_target() -> None:
    aim = Target.of(RED) - "red" + Term("blue", 0.5) - VECTOR
    expected = [[("image", 1), ("text", -1), ("text", 0.5), ("vector", -1)]]
    assert kinds(solve(aim).targets) == expected
    assert kinds(solve(Target.of("red", 2) + (aim - aim)).targets)[0][0] == ("text", 2)


def test_a_vector_is_a_target() -> None:
    (target,) = solve(VECTOR.astype(np.float64)).targets
    (term,) = target.terms
    assert (term.vector.dimension, term.vector.data) == (2, VECTOR.tobytes())


def test_negatives_are_targets_too() -> None:
    assert kinds(solve(RED, negatives=["red", RED]).negatives) == [[("text", 1)], [("image", 1)]]
    assert kinds(solve(RED, negatives=Term(VECTOR, 3)).negatives) == [[("vector", 3)]]


def test_the_files_of_pictures_are_read_when_the_request_is_built(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    build = mils_requests.solve(
        path,
        aggregation=TargetAggregation.MIN,
        negatives=path,
        seeds=None,
        proposal=None,
        scoring=None,
        limits=None,
        policy=SolvePolicy.PUBLISHED,
        seed=None,
    )
    path.write_bytes(b"after")
    for request in (build(), build()):
        assert [t.terms[0].content.image.encoded for t in request.targets] == [b"after"]
        assert [t.terms[0].content.image.encoded for t in request.negatives] == [b"after"]
    assert request.aggregation == mils_pb2.TARGET_AGGREGATION_MIN
    assert request.policy == mils_pb2.SOLVE_POLICY_PUBLISHED


def test_every_option_is_said() -> None:
    request = solve(
        RED,
        seeds=Seeds("pool", 7, ["a", "b"], True, "captioner"),
        proposal=Proposal("writer", 4, 5, 0.5, 0.25, 9, "short"),
        scoring=Scoring([ContrastiveScorer("c", 2), MatchingScorer("m")], 0.75, 3, "judge"),
        limits=Limits(0, 2, 8),
        seed=2**64 - 1,
    )
    assert request.seeds == mils_pb2.Seeds(
        pool="pool", pool_limit=7, texts=["a", "b"], caption=True, caption_model="captioner"
    )
    assert request.proposal == mils_pb2.Proposal(
        model="writer",
        candidates=4,
        examples=5,
        temperature=0.5,
        top_p=0.25,
        max_tokens=9,
        guidance="short",
    )
    contrastive = mils_pb2.ContrastiveScorer(model="c")
    matching = mils_pb2.MatchingScorer(model="m")
    assert request.scoring == mils_pb2.Scoring(
        scorers=[
            mils_pb2.Scorer(contrastive=contrastive, weight=2),
            mils_pb2.Scorer(matching=matching, weight=1),
        ],
        near_duplicate_cosine=0.75,
        finalists=3,
        finalist_model="judge",
    )
    assert request.limits == mils_pb2.Limits(max_steps=0, patience=2, max_evaluations=8)
    assert request.limits.HasField("max_steps")
    assert request.seed == 2**64 - 1


def test_a_scorer_without_a_model_is_still_of_its_kind() -> None:
    scoring = solve(RED, scoring=Scoring([MatchingScorer(), ContrastiveScorer()])).scoring
    assert [scorer.WhichOneof("kind") for scorer in scoring.scorers] == ["matching", "contrastive"]


@pytest.mark.parametrize(
    ("targets", "options", "kind", "where"),
    [
        ([], {}, ValueError, "targets"),
        ([RED, 3], {}, TypeError, r"targets\[1\]\.terms\[0\]"),
        (RED, {"negatives": [Path("missing.png")]}, FileNotFoundError, r"negatives\[0\]\.terms"),
        (Term(ItemRef("a")), {}, TypeError, r"targets\[0\]\.terms\[0\]"),
        (Target(("red",)), {}, TypeError, r"targets\[0\]\.terms\[0\]"),
        (np.array(["a"]), {}, TypeError, r"targets\[0\]\.terms\[0\]"),
        (Target.of(RED, "much"), {}, TypeError, r"targets\[0\]\.terms\[0\]\.weight"),
        (RED, {"seeds": Seeds(texts="a cat")}, TypeError, r"seeds\.texts"),
        (RED, {"seeds": Seeds(texts=["a", 1])}, TypeError, r"seeds\.texts\[1\]"),
        (RED, {"seeds": Seeds(pool_limit=0)}, ValueError, r"seeds\.pool_limit"),
        (RED, {"proposal": Proposal(candidates=0)}, ValueError, r"proposal\.candidates"),
        (RED, {"proposal": Proposal(candidates=-1)}, ValueError, r"proposal\.candidates"),
        (RED, {"proposal": Proposal(temperature="hot")}, TypeError, r"proposal\.temperature"),
        (RED, {"scoring": Scoring(["clip"])}, TypeError, r"scoring\.scorers\[0\]"),
        (RED, {"scoring": Scoring(finalists=-1)}, ValueError, r"scoring\.finalists"),
        (RED, {"limits": Limits(patience=0)}, ValueError, r"limits\.patience"),
        (RED, {"limits": Limits(max_evaluations=0)}, ValueError, r"limits\.max_evaluations"),
        (RED, {"policy": "fast"}, ValueError, "fast"),
        (RED, {"seed": -1}, ValueError, "^seed"),
    ],
)
def test_what_cannot_be_sent_is_named(
    targets: Any, options: Any, kind: type[Exception], where: str
) -> None:
    with pytest.raises(kind, match=where):
        solve(targets, **options)


def test_subjects_are_sent_64_a_call() -> None:
    requests = propose([f"subject {n}" for n in range(130)], count=3, model="m", seed=5)
    assert [len(request.subjects) for request in requests] == [64, 64, 2]
    assert {(r.count, r.model, r.seed) for r in requests} == {(3, "m", 5)}
    assert requests[2].subjects == ["subject 128", "subject 129"]


def test_one_subject_may_stand_alone() -> None:
    (request,) = propose("dog", temperature=0.5, top_p=0.25, max_tokens=9, guidance="short")
    assert request == mils_pb2.ProposeRequest(
        subjects=["dog"], temperature=0.5, top_p=0.25, max_tokens=9, guidance="short"
    )


@pytest.mark.parametrize(
    ("subjects", "options", "kind", "where"),
    [
        ([], {}, ValueError, "subjects"),
        (["dog", 3], {}, TypeError, r"subjects\[1\]"),
        ("dog", {"count": 0}, ValueError, "^count"),
        ("dog", {"max_tokens": 0}, ValueError, "^max_tokens"),
        ("dog", {"guidance": 3}, TypeError, "guidance"),
    ],
)
def test_what_cannot_be_proposed_about_is_named(
    subjects: Any, options: Any, kind: type[Exception], where: str
) -> None:
    with pytest.raises(kind, match=where):
        propose(subjects, **options)
