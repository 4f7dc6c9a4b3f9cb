"""Image-text matching: whether it finds the picture of a caption better than embeddings alone."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triptych import Client, Index, IndexKind, Item, Rerank
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.evalset import (
    RetrievalSet,
    near_duplicate_set,
    retrieval_set,
)

CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """How often the picture of an English caption is found first, a share of 1.

    `clip_...` is by the nearest embedding, the other after matching the nearest `CANDIDATES` with
    the caption.
    """

    text_to_image_r1: float
    clip_text_to_image_r1: float


@dataclass(frozen=True, slots=True)
class ItmFigures:
    """Retrieval among scenes drawn by lot and among near duplicates, which are harder to tell."""

    text_to_image_r1: float
    clip_text_to_image_r1: float
    near_duplicates: RetrievalFigures


def evaluate_itm(
    client: Client,
    *,
    model: str = "",
    matcher: str = "",
    scenes: int = 1000,
    progress: Progress = silent,
) -> ItmFigures:
    """Search so many scenes of each gallery by caption; `model` embeds, `matcher` compares."""
    search = _Search(client, model, matcher, progress)
    plain = search("scenes", retrieval_set(scenes))
    near = search("near duplicates", near_duplicate_set(scenes))
    return ItmFigures(plain.text_to_image_r1, plain.clip_text_to_image_r1, near)


@dataclass(frozen=True, slots=True)
class _Search:
    """Searches a gallery by the captions of its pictures, plainly and reranked."""

    client: Client
    model: str
    matcher: str
    progress: Progress

    def __call__(self, name: str, gallery: RetrievalSet) -> RetrievalFigures:
        with self._stored(name, gallery) as collection:
            reranked = self._recall(name, collection, gallery, Rerank(CANDIDATES, self.matcher))
            plain = self._recall(name, collection, gallery, None)
        return RetrievalFigures(reranked, plain)

    @contextmanager
    def _stored(self, name: str, gallery: RetrievalSet) -> Iterator[str]:
        """A collection of the gallery's pictures, each called by its place, for a while."""
        collection = f"eval-{secrets.token_hex(8)}"
        self.client.collections.create(collection, model=self.model, index=Index(IndexKind.FLAT))
        try:
            items = (
                Item(str(place), picture, store=True)
                for place, picture in enumerate(gallery.pictures)
            )
            advance = self.progress(f"storing {name}", len(gallery.scenes))
            for written in self.client.upsert(collection, items):
                if written.error is not None:
                    raise written.error
                advance()
            yield collection
        finally:
            self.client.collections.delete(collection)

    def _recall(
        self, name: str, collection: str, gallery: RetrievalSet, rerank: Rerank | None
    ) -> float:
        def nearest(caption: str) -> str:
            return self.client.search(collection, caption, limit=1, rerank=rerank)[0].item.id

        stage = f"{'searching' if rerank is None else 'matching'} {name}"
        advance = self.progress(stage, len(gallery.scenes))
        found = in_parallel(nearest, gallery.captions("en"), advance=advance)
        right = sum(place == str(index) for index, place in enumerate(found))
        return right / len(gallery.scenes)
