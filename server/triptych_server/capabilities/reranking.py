"""The nearest items in a second order, by a model that looks at text and picture together."""

import asyncio
from collections.abc import Sequence

from triptych_server.capabilities.concurrency import run_all
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.queries import RankedHit, Rerank
from triptych_server.capabilities.tasks import Task
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.collections import CollectionStore, Hit, Include
from triptych_server.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    TriptychError,
)
from triptych_server.media.content import EncodedImage
from triptych_server.media.image import Pixels

STEP = 32  # pictures of one call that are in memory at once, decoded
FILES = 8  # stored files in memory at once, over all calls: up to 20 MiB each, often far less


class Reranker:
    """Compares a text with the stored pictures of items."""

    def __init__(self, store: CollectionStore, catalog: ModelCatalog, matcher: Matcher) -> None:
        self._store = store
        self._catalog = catalog
        self._matcher = matcher
        self._files = asyncio.Semaphore(FILES)

    def model(self, rerank: Rerank) -> Model:
        """The model that compares; raises as `ModelCatalog.get`, about `rerank.model`."""
        try:
            return self._catalog.get(rerank.model, Task.MATCH)
        except TriptychError as error:
            raise error.at("rerank.model") from None

    async def rerank(
        self, collection: str, model: Model, text: str, hits: Sequence[Hit]
    ) -> tuple[list[RankedHit], StageTimes]:
        """Hits, best first, by the probability that the text describes their picture; of equal ones
        the order stays. Items deleted meanwhile are left out.

        Raises `FailedPrecondition`, naming the item, for one without a picture that can be read.
        """
        for hit in hits:
            if not hit.item.has_content:
                raise _not_stored(hit.item.id)
        ranked: list[RankedHit] = []
        times = StageTimes()
        for first in range(0, len(hits), STEP):
            compared, took = await self._compare(
                collection, model, text, hits[first : first + STEP]
            )
            ranked += compared
            times = times.then(took)
        ranked.sort(key=lambda each: -(each.itm_score or 0.0))
        return ranked, times

    async def _compare(
        self, collection: str, model: Model, text: str, hits: Sequence[Hit]
    ) -> tuple[list[RankedHit], StageTimes]:
        watch = Stopwatch()
        loaded = await run_all(self._pixels(collection, model, hit.item.id) for hit in hits)
        times = StageTimes(preprocess_ns=watch.ns())
        hits = [hit for hit, pixels in zip(hits, loaded, strict=True) if pixels is not None]
        pictures = [pixels for pixels in loaded if pixels is not None]
        pairs = [(picture, 0) for picture in range(len(pictures))]
        matches = await self._matcher.match(model, pictures, [text], pairs)
        for picture, error in matches.errors.items():
            raise Internal(
                f"the picture of the item {hits[picture].item.id!r} cannot be compared: "
                f"{error.message}",
                reason=error.reason,
            )
        ranked = [
            RankedHit(hit.item, hit.score, probability)
            for hit, probability in zip(hits, matches.probabilities, strict=True)
        ]
        return ranked, times.then(matches.times)

    async def _pixels(self, collection: str, model: Model, item_id: str) -> Pixels | None:
        """A stored picture as the model looks at it; None if the item is gone."""
        async with self._files:
            try:
                item = await self._store.get_item(collection, item_id, Include(content=True))
                if item.content is None or item.content.kind != "image":
                    raise _not_stored(item_id)
                return await self._matcher.pixels(model, EncodedImage(item.content.data))
            except NotFound as error:
                if error.reason != "ITEM_NOT_FOUND":
                    raise
                return None
            except InvalidArgument as error:
                raise FailedPrecondition(
                    f"the stored picture of the item {item_id!r} cannot be used: {error.message}",
                    reason=error.reason,
                ) from None


def _not_stored(item_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the item {item_id!r} has no stored picture to compare; write it with store_content",
        reason="CONTENT_NOT_STORED",
    )
