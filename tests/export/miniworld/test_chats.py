from itertools import pairwise

import numpy as np

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.chats import chat
from triptych_export.miniworld.world import sample_scene

PRONOUNS = (" it ", " it?", "other object", "它", "另一个物体")


def test_a_chat_has_so_many_turns_and_some_lean_on_the_one_before() -> None:
    rng = np.random.default_rng(0)
    leaning = 0
    for _ in range(200):
        scene = sample_scene(rng)
        turns = chat(scene, 4, "en", rng)
        assert len(turns) == 4
        for before, turn in pairwise(turns):
            if any(pronoun in turn.text for pronoun in PRONOUNS):
                leaning += 1
                assert before.subject is not None
    assert leaning > 100


def test_a_chat_may_begin_with_the_whole_caption() -> None:
    rng = np.random.default_rng(0)
    scene = sample_scene(rng, objects=1)
    opened = [turns[0] for turns in (chat(scene, 2, "zh", rng) for _ in range(50))]
    told = {turn.answer for turn in opened if turn.type is None}
    assert told == {caption(scene, "zh")}


def test_most_turns_are_in_the_language_of_the_chat() -> None:
    rng = np.random.default_rng(0)
    turns = [turn for _ in range(100) for turn in chat(sample_scene(rng), 3, "zh", rng)]
    chinese = sum(turn.language == "zh" for turn in turns)
    assert 0.8 * len(turns) < chinese < len(turns)
