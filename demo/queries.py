"""The demo's queries."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triptych import Client, Term
from triptych.types import Hit
from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.draw import draw

LIMIT = 8
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """A query with its title for people; `pictures` are the files that it holds."""

    kind: str
    title: str
    terms: Sequence[Term]
    filter: str = ""
    pictures: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query found, and how long the call took."""

    query: DemoQuery
    hits: Sequence[Hit]
    milliseconds: float

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "kind": self.query.kind,
            "title": self.query.title,
            "filter": self.query.filter,
            "milliseconds": round(self.milliseconds, 2),
            "hits": [
                {
                    "id": hit.item.id,
                    "score": round(hit.score, 4),
                    "caption": hit.item.metadata.get("caption", ""),
                }
                for hit in self.hits
            ],
        }


def answer(client: Client, collection: str, query: DemoQuery) -> Answer:
    """Search, and time it."""
    began = time.perf_counter()
    hits = client.search(
        collection, list(query.terms), filter=query.filter, limit=LIMIT, include_content=True
    )
    return Answer(query, hits.hits, (time.perf_counter() - began) * 1000)


def drawn_queries() -> list[DemoQuery]:
    """Queries of the miniature world, in two languages, by text, picture and both."""
    star = "a large red star in the top left on a white background"
    pair = "a small striped blue circle to the left of a large yellow square on a grey background"
    heart = "a large purple heart in the middle center on a black background"
    return [
        text(star),
        text(pair),
        text("一个大的绿色三角形在正中,黑色背景", kind="text, Chinese"),
        text("一个小的红色圆形在一个大的蓝色星形的上面,白色背景", kind="text, Chinese"),
        text("a small pink heart above a large green cross", filter='background = "navy"'),
        picture(f"a picture of {heart}", drawn(heart)),
        mixed("that picture, but orange", drawn(heart), ("orange", 0.5), ("purple", -0.5)),
        mixed("that picture, and a star", drawn(heart), ("a star", 0.7)),
    ]


def photograph_queries(folder: Path) -> list[DemoQuery]:
    """Queries that suit most collections of photographs, and one of its pictures."""
    path = next(p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES)
    photograph = path.read_bytes()
    return [
        *(
            text(f"a photo of {what}")
            for what in ("people", "an animal", "a building", "food", "the sea", "a street")
        ),
        picture(f"like {path.name}", photograph),
        mixed(f"like {path.name}, at night", photograph, ("a photo taken at night", 0.5)),
    ]


def text(query: str, *, kind: str = "text", filter: str = "") -> DemoQuery:
    """Search by text."""
    title = f"{query}   [{filter}]" if filter else query
    return DemoQuery(kind, title, [Term(query)], filter)


def picture(title: str, file: bytes) -> DemoQuery:
    """Search by picture."""
    return DemoQuery("picture", title, [Term(file)], pictures=[file])


def mixed(title: str, file: bytes, *texts: tuple[str, float]) -> DemoQuery:
    """Search by a picture and weighted texts."""
    terms = [Term(file), *(Term(words, weight) for words, weight in texts)]
    return DemoQuery("picture and text", title, terms, pictures=[file])


def drawn(caption: str) -> bytes:
    """A picture, as a PNG file, that no collection holds yet."""
    scene = parse(caption)
    assert scene is not None, "the caption follows the grammar"
    file = io.BytesIO()
    Image.fromarray(draw(scene, np.random.default_rng(1))).save(file, "PNG")
    return file.getvalue()
