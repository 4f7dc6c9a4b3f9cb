"""A small data set of drawn scenes, in the formats of COCO, Karpathy and VQAv2."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw_all
from triptych_export.miniworld.world import Scene, sample_scene

MISSING, BROKEN = "000000000100.png", "000000000101.png"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Where its files lie. Picture `i` shows `scenes[i]`; two more are missing and broken.

    Every picture has two captions, of which the first is quite true, and one question about its
    background, which all people answered alike.
    """

    scenes: tuple[Scene, ...]
    images: Path
    coco: Path
    karpathy: Path
    questions: Path
    answers: Path

    def references(self, index: int) -> list[str]:
        return [caption(self.scenes[index]), f"A {self.scenes[index].background} picture."]


def write_data_set(folder: Path) -> DataSet:
    """Draw the pictures and write the files."""
    rng = np.random.default_rng(3)
    scenes = tuple(sample_scene(rng) for _ in range(12))
    names = [f"{index:012d}.png" for index in range(len(scenes))]
    for name, pixels in zip(names, draw_all(scenes, rng), strict=True):
        Image.fromarray(pixels).save(folder / name)
    (folder / BROKEN).write_bytes(b"not a picture")
    files = {name: folder / f"{name}.json" for name in ("coco", "karpathy", "questions", "answers")}
    drawn = DataSet(scenes, folder, **files)
    ids = [*range(len(scenes)), 100, 101]
    told = {i: drawn.references(i % 100) for i in ids}
    documents = {
        "coco": {
            "images": [{"id": i, "file_name": f"{i:012d}.png"} for i in ids],
            "annotations": [
                {"image_id": i, "caption": text} for i in reversed(ids) for text in told[i]
            ],
        },
        "karpathy": {
            "images": [
                {
                    "split": "test" if i % 2 else "train",
                    "cocoid": i,
                    "filename": f"{i:012d}.png",
                    "sentences": [{"raw": text} for text in told[i]],
                }
                for i in ids
            ]
        },
        "questions": {
            "questions": [
                {"question_id": 10 + i, "image_id": i, "question": "what colour is the background?"}
                for i in ids
            ]
        },
        "answers": {
            "annotations": [
                {
                    "question_id": 10 + i,
                    "image_id": i,
                    "answer_type": "other" if i % 2 else "number",
                    "question_type": "what colour",
                    "answers": [{"answer": scenes[i % 100].background}] * 10,
                }
                for i in ids
            ]
        },
    }
    for name, document in documents.items():
        files[name].write_text(json.dumps(document))
    return drawn
