"""Solve and Propose through a gateway whose proposer writes random words."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from calls import MODEL, Refusal, Stubs, encoded, raw, refusal, text, vector
from proposers import EXAMPLES, PROPOSER
from scenes import Scenes
from searches import POOL, SEED_TEXTS, Solved, embedded, request, solved, target, texts

from triptych.v1 import media_pb2
from triptych.v1.mils_pb2 import (
    SOLVE_POLICY_PUBLISHED,
    SOLVE_STOP_EVALUATIONS,
    SOLVE_STOP_PATIENCE,
    SOLVE_STOP_STEPS,
    TARGET_AGGREGATION_MIN,
    ContrastiveScorer,
    Limits,
    MatchingScorer,
    Proposal,
    ProposeRequest,
    Scorer,
    Scoring,
    Seeds,
    SolveRequest,
)

BLIP2, ITM = "miniworld-blip2", "miniworld-blip2-itm"
NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
FAILED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def picture(scenes: Scenes) -> media_pb2.Content:
    return raw(scenes.pixels[0])


def solve(stubs: Stubs, asked: SolveRequest) -> Solved:
    return solved(stubs.mils.Solve(asked, timeout=60))


def refused(stubs: Stubs, asked: SolveRequest) -> Refusal:
    """The error of a search that ends before its first event."""
    with pytest.raises(grpc.RpcError) as caught:
        next(stubs.mils.Solve(asked, timeout=60))
    return Refusal(caught.value)


def test_events_are_seeds_then_steps_then_the_result(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    found = solve(searching, request(picture))
    seeds, *steps = found.steps
    assert (seeds.step, sorted(texts(seeds.candidates))) == (0, sorted(SEED_TEXTS))
    assert [step.step for step in steps] == [1, 2]
    for step in found.steps:
        scores = [candidate.score for candidate in step.candidates]
        assert scores == sorted(scores, reverse=True)
        assert all(candidate.step == step.step for candidate in step.candidates)
        assert step.timing.total.ToNanoseconds() > 0
    assert found.bests == sorted(found.bests)
    result = found.result
    assert (result.stop, result.steps) == (SOLVE_STOP_STEPS, 2)
    assert result.best == found.steps[-1].best == result.texts[0]
    assert (result.proposal_model, list(result.scorer_models)) == (PROPOSER, [MODEL])
    assert result.space.startswith("clip")
    assert not result.finalist_model


def test_scores_are_cosines_and_spending_adds_up(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    found = solve(searching, request(picture))
    scored = [candidate for step in found.steps for candidate in step.candidates]
    vectors = embedded(searching, [picture, *(text(each.text) for each in scored)])
    cosines = vectors[1:] @ vectors[0]
    np.testing.assert_allclose([each.score for each in scored], cosines, atol=1e-5)
    spending = found.result.spending
    assert spending.evaluations == len(scored) - len(SEED_TEXTS)
    assert spending.usage.completion_tokens > spending.evaluations
    spent = [step.spending.evaluations for step in found.steps]
    assert spent == sorted(spent)
    assert len({each.text.casefold() for each in scored}) == len(scored)


def test_equal_seeds_give_equal_events_whatever_else_is_asked(
    searching: Stubs, scenes: Scenes, picture: media_pb2.Content
) -> None:
    asked = request(picture)
    alone = solve(searching, asked).course
    others = [request(raw(pixels), seed=seed) for seed, pixels in enumerate(scenes.pixels[:7])]
    with ThreadPoolExecutor(8) as callers:
        beside, *_ = callers.map(lambda each: solve(searching, each).course, [asked, *others])
    assert beside == alone
    assert solve(searching, request(picture, seed=2)).course != alone


def test_seeds_come_from_the_pool_the_request_and_a_model_of_captions(
    searching: Stubs, scenes: Scenes
) -> None:
    seeds = Seeds(pool=POOL, pool_limit=5, texts=SEED_TEXTS, caption=True)
    found = solve(searching, request(raw(scenes.pixels[1]), seeds=seeds))
    first = texts(found.steps[0].candidates)
    assert len(first) == 5 + len(SEED_TEXTS) + 1
    assert {*SEED_TEXTS, scenes.english[1]} <= {*first}
    vectors = embedded(
        searching, [raw(scenes.pixels[1]), *map(text, dict.fromkeys(scenes.english[8:]))]
    )
    best = np.argsort(-(vectors[1:] @ vectors[0]))[:5]
    captions = list(dict.fromkeys(scenes.english[8:]))
    assert {captions[place] for place in best} <= {*first}
    spending = found.steps[0].spending
    assert spending.ranked_seeds == len(captions)
    assert spending.usage.completion_tokens > 0  # of the caption


def test_nothing_to_begin_with_is_a_beginning(searching: Stubs, picture: media_pb2.Content) -> None:
    found = solve(searching, request(picture, seeds=Seeds()))
    assert not found.steps[0].HasField("best")
    assert not found.steps[0].candidates
    assert found.result.best.step > 0


def test_without_steps_the_seeds_alone_are_scored(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    found = solve(searching, request(picture, limits=Limits(max_steps=0)))
    assert [step.step for step in found.steps] == [0]
    assert (found.result.stop, found.result.steps) == (SOLVE_STOP_STEPS, 0)
    assert found.result.spending.evaluations == 0
    assert not found.result.proposal_model


def test_limits_end_a_search(searching: Stubs, picture: media_pb2.Content) -> None:
    few = solve(searching, request(picture, limits=Limits(max_evaluations=3)))
    assert few.result.stop == SOLVE_STOP_EVALUATIONS
    assert few.result.spending.evaluations == 3
    # Nothing that is random beats the truth.
    seeds = Seeds(texts=["a large circle"], caption=True)
    limits = Limits(patience=2, max_steps=9)
    idle = solve(searching, request(picture, seeds=seeds, limits=limits))
    assert (idle.result.stop, idle.result.steps) == (SOLVE_STOP_PATIENCE, 2)


def test_finalists_are_ordered_by_image_text_matching(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    result = solve(searching, request(picture, scoring=Scoring(finalists=4))).result
    probabilities = [each.matching_score for each in result.texts[:4]]
    assert all(each.HasField("matching_score") for each in result.texts[:4])
    assert probabilities == sorted(probabilities, reverse=True)
    assert not any(each.HasField("matching_score") for each in result.texts[4:])
    assert (result.finalist_model, result.spending.matched_pairs) == (ITM, 4)


def test_scorers_are_weighted(searching: Stubs, picture: media_pb2.Content) -> None:
    clip, itm = Scorer(contrastive=ContrastiveScorer()), Scorer(matching=MatchingScorer())

    def scores(*scorers: Scorer) -> dict[str, float]:
        asked = request(picture, scoring=Scoring(scorers=scorers), limits=Limits(max_steps=0))
        return {each.text: each.score for each in solve(searching, asked).result.texts}

    cosines, probabilities = scores(clip), scores(itm)
    clip.weight, itm.weight = 2.0, 0.5
    for each, score in scores(clip, itm).items():
        assert score == pytest.approx(2 * cosines[each] + 0.5 * probabilities[each], abs=1e-4)


def test_targets_are_sums_of_pictures_texts_and_vectors(searching: Stubs, scenes: Scenes) -> None:
    contents = [raw(scenes.pixels[0]), text("red"), text("blue")]
    vectors = embedded(searching, contents)
    weights = [1.0, -0.5, 0.5]
    total = weights @ vectors
    summed = request(targets=[target(*contents, weights=weights)])
    inverted = request(targets=[target(vector(3 * total))])
    one, other = (solve(searching, asked).steps[0] for asked in (summed, inverted))
    assert texts(one.candidates) == texts(other.candidates)
    scores = embedded(searching, [text(each) for each in texts(one.candidates)]) @ total
    np.testing.assert_allclose(
        [each.score for each in one.candidates], scores / np.linalg.norm(total), atol=1e-5
    )


def test_several_targets_and_negatives(searching: Stubs, scenes: Scenes) -> None:
    contents = [raw(pixels) for pixels in scenes.pixels[:2]]
    negative = text("a small red circle")
    asked = request(
        *contents,
        aggregation=TARGET_AGGREGATION_MIN,
        negatives=[target(negative)],
        limits=Limits(max_steps=0),
    )
    found = solve(searching, asked).result.texts
    vectors = embedded(searching, [*contents, negative, *(text(each.text) for each in found)])
    fits = vectors[3:] @ vectors[:3].T
    expected = fits[:, :2].min(axis=1) - np.maximum(fits[:, 2], 0)
    np.testing.assert_allclose([each.score for each in found], expected, atol=1e-5)


def test_published_policy_encodes_the_pool_anew(searching: Stubs, scenes: Scenes) -> None:
    pool = len({*scenes.english[8:]})
    seeds = Seeds(pool=POOL, pool_limit=5, texts=["a photo"])
    asked = request(raw(scenes.pixels[0]), seeds=seeds, policy=SOLVE_POLICY_PUBLISHED)
    for _ in range(2):
        found = solve(searching, asked)
        assert len(found.steps[0].candidates) == 6
        spending = found.steps[0].spending
        assert (spending.encoded_texts, spending.known_texts) == (pool + 1, 0)
        assert spending.ranked_seeds == 0
    # The six survivors are encoded once more in each step, the examples being so many.
    result = found.result.spending
    least = pool + 1 + result.evaluations + found.result.steps * min(EXAMPLES, 6)
    assert result.encoded_texts >= least


def test_white_space_and_case_make_no_other_seed(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    seeds = Seeds(texts=["a red  circle", " A RED circle\n", "a blue star"])
    found = solve(searching, request(picture, seeds=seeds))
    assert sorted(texts(found.steps[0].candidates)) == ["a blue star", "a red  circle"]


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"proposal": Proposal(model="none")}, NOT_FOUND, "MODEL_NOT_FOUND", "proposal.model"),
        (
            {"proposal": Proposal(model=MODEL)},
            FAILED,
            "TASK_NOT_SUPPORTED",
            "proposal.model",
        ),
        (
            {"proposal": Proposal(guidance="at most 10 words")},
            FAILED,
            "GUIDANCE_NOT_SUPPORTED",
            "proposal.guidance",
        ),
        (
            {"proposal": Proposal(max_tokens=1_000)},
            INVALID,
            "EXCEEDS_CONTEXT",
            "proposal.max_tokens",
        ),
        ({"seeds": Seeds(pool="none")}, NOT_FOUND, "SEED_POOL_NOT_FOUND", "seeds.pool"),
        ({"seeds": Seeds(pool="..")}, NOT_FOUND, "SEED_POOL_NOT_FOUND", "seeds.pool"),
        ({"seeds": Seeds(pool="foreign")}, FAILED, "SEED_POOL_SPACE", "seeds.pool"),
        (
            {"seeds": Seeds(caption=True, caption_model=MODEL)},
            FAILED,
            "TASK_NOT_SUPPORTED",
            "seeds.caption_model",
        ),
        (
            {"scoring": Scoring(scorers=[Scorer(contrastive=ContrastiveScorer(model=BLIP2))])},
            FAILED,
            "TASK_NOT_SUPPORTED",
            "scoring.scorers[0].contrastive.model",
        ),
        (
            {"scoring": Scoring(scorers=[Scorer(matching=MatchingScorer(model="none"))])},
            NOT_FOUND,
            "MODEL_NOT_FOUND",
            "scoring.scorers[0].matching.model",
        ),
        (
            {"scoring": Scoring(finalists=1, finalist_model=MODEL)},
            FAILED,
            "TASK_NOT_SUPPORTED",
            "scoring.finalist_model",
        ),
        (
            {
                "seeds": Seeds(pool=POOL),
                "scoring": Scoring(scorers=[Scorer(matching=MatchingScorer())]),
            },
            INVALID,
            "INVALID_FIELD",
            "seeds.pool",
        ),
        ({"proposal": Proposal(temperature=0)}, INVALID, "INVALID_FIELD", "proposal.candidates"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_field(
    searching: Stubs,
    picture: media_pb2.Content,
    fields: dict[str, object],
    code: grpc.StatusCode,
    reason: str,
    field: str,
) -> None:
    found = refused(searching, request(picture, **fields))
    assert (found.code, found.reason, found.fields) == (code, reason, [field])


def terms(
    *contents: media_pb2.Content | media_pb2.Vector, weights: Iterable[float] = ()
) -> SolveRequest:
    return request(targets=[target(*contents, weights=list(weights))])


def test_targets_that_make_no_sense_are_refused_by_their_field(searching: Stubs) -> None:
    for asked, field in (
        (terms(encoded(b"no picture")), "targets[0].terms[0].content.image.encoded"),
        (terms(vector(np.ones(3))), "targets[0].terms[0].vector.dimension"),
        (terms(vector(np.array([np.nan] * 4))), "targets[0].terms[0].vector.data"),
        (terms(text("red"), text("red"), weights=[1, -1]), "targets[0].terms"),
        (
            request(text("a"), negatives=[target(encoded(b"x"))]),
            "negatives[0].terms[0].content.image.encoded",
        ),
        (request(), "targets"),
    ):
        found = refused(searching, asked)
        assert (found.code, found.fields) == (INVALID, [field])


def test_matching_needs_pictures(searching: Stubs, scenes: Scenes) -> None:
    picture, [point] = raw(scenes.pixels[0]), embedded(searching, [text("red")])
    itm = Scoring(scorers=[Scorer(matching=MatchingScorer())])
    for asked, field in (
        (request(scoring=itm, targets=[target(vector(point))]), "targets[0].terms[0].vector"),
        (request(text("red"), scoring=itm), "targets[0].terms[0].content.text"),
        (request(scoring=itm, targets=[target(picture, text("red"))]), "targets[0].terms"),
        (
            request(scoring=Scoring(finalists=2), targets=[target(vector(point))]),
            "targets[0].terms[0].vector",
        ),
    ):
        found = refused(searching, asked)
        assert (found.code, found.reason, found.fields) == (
            INVALID,
            "MODALITY_NOT_SUPPORTED",
            [field],
        )


def test_long_and_strange_texts_are_seeds_as_any(
    searching: Stubs, picture: media_pb2.Content
) -> None:
    strange = ["x" * 1_000, "</s> {text} {percent}\n100 none", "\N{ZERO WIDTH SPACE}", "圆形 🎨"]
    found = solve(searching, request(picture, seeds=Seeds(texts=strange)))
    assert sorted(texts(found.steps[0].candidates)) == sorted(strange)
    assert found.result.steps == 2


def test_captions_are_proposed_about_subjects(searching: Stubs) -> None:
    asked = ProposeRequest(subjects=["red circle", "star"], count=6, seed=3)
    answer = searching.mils.Propose(asked)
    assert (answer.model, len(answer.results)) == (PROPOSER, 2)
    for subject, result in zip(asked.subjects, answer.results, strict=True):
        assert all(each.startswith(f"a {subject}") for each in result.texts)
        assert len({*result.texts}) == len(result.texts) <= 6
    assert sum(len(each.texts) for each in answer.results) >= 6
    assert answer.usage.completion_tokens > 0
    again = searching.mils.Propose(asked)
    assert list(again.results) == list(answer.results)


def test_proposals_are_refused_by_their_field(searching: Stubs) -> None:
    for fields, code, field in (
        ({"subjects": []}, INVALID, "subjects"),
        ({"model": "none"}, NOT_FOUND, "model"),
        ({"model": MODEL}, FAILED, "model"),
        ({"guidance": "short"}, FAILED, "guidance"),
        ({"max_tokens": 1_000}, INVALID, "max_tokens"),
        ({"temperature": 0.0}, INVALID, "count"),
    ):
        found = refusal(searching.mils.Propose, ProposeRequest(**({"subjects": ["a"]} | fields)))
        assert (found.code, found.fields) == (code, [field])
