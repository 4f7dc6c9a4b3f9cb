from dataclasses import replace

from triptych_export.evaluation.mils.perfect import PerfectScorer, solve_perfectly
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.evalset import retrieval_set
from triptych_server.capabilities.mils.limits import Limits

SCENES = retrieval_set(4).scenes


async def test_only_the_truth_has_the_best_score_told_either_way() -> None:
    scene = SCENES[1]
    background = "grey" if scene.background != "grey" else "white"
    texts = [
        caption(scene),
        caption(scene.inverted()),
        caption(replace(scene, background=background)),
        "no caption",
    ]
    scores = await PerfectScorer(scene).score(texts, None)
    assert scores.values == [1.0, 1.0, 0.9, 0.0]


def test_the_shipped_proposer_finds_what_is_one_attribute_away() -> None:
    seeds = []
    for scene in SCENES:
        colour = "red" if scene.objects[0].colour != "red" else "blue"
        first = replace(scene.objects[0], colour=colour, size="small")
        seeds.append([caption(replace(scene, objects=(first, *scene.objects[1:])))])
    outcomes = solve_perfectly(
        SCENES, seeds, Limits(10, None, 300), 32, repository=None, advance=lambda: None
    )
    assert [outcome.progress[-1][1] for outcome in outcomes] == [1.0] * 4
    assert all(outcome.progress[0][1] < 1 for outcome in outcomes)
    assert all(0 < outcome.evaluations <= 300 for outcome in outcomes)
    assert all(outcome.completion_tokens > outcome.evaluations for outcome in outcomes)
