"""Drawn pictures as JPEG files, with what is in them as metadata."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw
from triptych_export.miniworld.world import Scene, sample_scene

SEED = 2026


def draw_pictures(folder: Path, count: int, asked: Sequence[Scene]) -> None:
    """Write `count` pictures, those that are `asked` for among them, and beside the folder a .jsonl
    of their metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    scenes = [*asked, *(sample_scene(rng) for _ in range(count - len(asked)))]
    rows = []
    for number, position in enumerate(rng.permutation(count)):
        scene = scenes[position]
        path = folder / f"{number:04}.jpg"
        Image.fromarray(draw(scene, rng)).save(path, "JPEG", quality=95, subsampling=0)
        rows.append({"path": path.name, **metadata(scene)})
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    folder.with_suffix(".jsonl").write_text("".join(lines), "utf-8")


def metadata(scene: Scene) -> dict[str, object]:
    """What a scene shows, for filters and for the page."""
    return {
        "caption": caption(scene, "en"),
        "caption_zh": caption(scene, "zh"),
        "background": scene.background,
        "objects": len(scene.objects),
        "shapes": [each.shape for each in scene.objects],
        "colours": [each.colour for each in scene.objects],
    }
