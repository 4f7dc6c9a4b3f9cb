from triptych_export.evaluation.mils.captions import blind_proposals, seed_pool
from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.miniworld.world import Scene


def told(texts: list[str]) -> list[Scene]:
    scenes = [parse(text) for text in texts]
    assert None not in scenes
    return [scene.canonical() for scene in scenes if scene]


def test_a_seed_pool_has_different_captions_and_no_truth_told_either_way() -> None:
    truths = retrieval_set(400).scenes
    # As many as would hold some of the truths, were these not left out.
    scenes = told(seed_pool(9_000, truths))
    assert len(set(scenes)) == len(scenes) == 9_000
    assert set(scenes).isdisjoint(truth.canonical() for truth in truths)
    assert not set(told(seed_pool(9_000, ()))).isdisjoint(truth.canonical() for truth in truths)


def test_seed_pools_are_equal_and_blind_proposals_differ_by_picture() -> None:
    assert seed_pool(20, ()) == seed_pool(20, ())
    assert blind_proposals(20, 1) == blind_proposals(20, 1) != blind_proposals(20, 2)
