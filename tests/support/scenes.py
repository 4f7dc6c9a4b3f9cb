"""Drawn pictures of the miniature world."""

import numpy as np

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw
from triptych_export.miniworld.world import sample_scene


class Scenes:
    """`count` pictures `[64, 64, 3]` uint8 of one object each, with their captions."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(7)
        scenes = [sample_scene(rng, objects=1) for _ in range(count)]
        self.pixels = [draw(scene, rng) for scene in scenes]
        self.english = [caption(scene, "en") for scene in scenes]
        self.chinese = [caption(scene, "zh") for scene in scenes]
