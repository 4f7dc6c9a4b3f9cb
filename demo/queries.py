"""The demo's queries."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triptych import Client, Rerank, Term
from triptych.types import Hit
from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.draw import draw
from triptych_export.miniworld.world import Scene

LIMIT = 5
# Scenes that are among the drawn pictures, in random places.
STAR = "a large red star in the top left on a white background"
PAIR = "a small striped blue circle to the left of a large yellow square on a grey background"
TRIANGLE = "一个大的绿色三角形在正中,黑色背景"
CIRCLE = "一个小的红色圆形在一个大的蓝色星形的上面,白色背景"
CROSS = "a small pink heart above a large green cross on a navy background"
DRAWN = (STAR, PAIR, TRIANGLE, CIRCLE, CROSS)
# One that is not.
HEART = "a large purple heart in the middle center on a black background"


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """A query with its title for people; `pictures` are the files that it holds."""

    kind: str
    title: str
    terms: Sequence[Term]
    filter: str = ""
    pictures: Sequence[bytes] = ()
    rerank: Rerank | None = None


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
                    "itm_score": hit.itm_score,
                    "caption": hit.item.metadata.get("caption", ""),
                }
                for hit in self.hits
            ],
        }


def answer(client: Client, collection: str, query: DemoQuery) -> Answer:
    """Search, and time it."""
    began = time.perf_counter()
    hits = client.search(
        collection,
        list(query.terms),
        filter=query.filter,
        limit=LIMIT,
        include_content=True,
        rerank=query.rerank,
    )
    return Answer(query, hits.hits, (time.perf_counter() - began) * 1000)


def drawn_queries() -> list[DemoQuery]:
    """Queries of the miniature world, in two languages, by text, picture and both."""
    heart = drawn(HEART)
    return [
        text(STAR),
        text(PAIR),
        text(TRIANGLE, kind="text, Chinese"),
        text(CIRCLE, kind="text, Chinese"),
        text("a pink heart above a green cross", filter='background = "navy" AND objects = 2'),
        picture(f"a picture of {HEART}", heart),
        mixed("that picture, but orange", heart, ("orange", 0.5), ("purple", -0.5)),
        mixed("that picture, and a star beside it", heart, ("a star", 1.0)),
    ]


def reranked_queries() -> list[DemoQuery]:
    """Queries whose nearest pictures are looked at once more, together with the text."""
    return [replace(text(PAIR, kind="text, reranked by image-text matching"), rerank=Rerank())]


def photograph_queries(path: Path) -> list[DemoQuery]:
    """Queries that suit most collections of photographs, and one by a photograph of the user's."""
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
    """A picture of a scene, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(draw(scene(caption), np.random.default_rng(1))).save(file, "PNG")
    return file.getvalue()


def scene(caption: str) -> Scene:
    """What a caption, in either language, tells."""
    found = parse(caption)
    assert found is not None, "the caption follows the grammar"
    return found
