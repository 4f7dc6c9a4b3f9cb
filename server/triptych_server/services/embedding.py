"""EmbeddingService."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2
from triptych_server.capabilities.concurrency import Bounds, as_completed
from triptych_server.capabilities.embedding import Embedded, Embedder
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.ranking import Ranking, Score, rank
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.errors import InvalidArgument, TriptychError, Violation
from triptych_server.services import media
from triptych_server.services.rules import (
    all_of,
    characters,
    check,
    count,
    each,
    fields,
    matching,
    present,
)

MAX_PROMPTS = 1024


def _prompts(request: embedding_pb2.RankRequest, path: str) -> Iterator[Violation]:
    if len(request.candidates) * len(request.templates) > MAX_PROMPTS:
        yield Violation("templates", f"candidates x templates must be at most {MAX_PROMPTS:,}")


EMBED = fields(model=media.MODEL_NAME, contents=count(1, 256))
STREAM_EMBED = fields(id=characters(0, 256), model=media.MODEL_NAME, content=media.CONTENT)
TEMPLATE = all_of(
    matching(r"(?s)[^{}]*\{\}[^{}]*", "a text with exactly one `{}`"), characters(2, 1024)
)
RANK = all_of(
    present("query"),
    fields(
        model=media.MODEL_NAME,
        query=media.CONTENT,
        candidates=count(1, 256),
        templates=all_of(count(0, 16), each(TEMPLATE)),
    ),
    _prompts,
)


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Embed, StreamEmbed and Rank over an `Embedder`; `bounds` are those of each stream."""

    def __init__(self, catalog: ModelCatalog, embedder: Embedder, bounds: Bounds) -> None:
        self._bounds = bounds
        self._catalog = catalog
        self._embedder = embedder

    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: Any
    ) -> embedding_pb2.EmbedResponse:
        watch = Stopwatch()
        check(EMBED, request)
        model = self._catalog.get(request.model)
        contents = [media.content_or_error(each) for each in request.contents]
        results = await self._embedder.embed_all(model, contents)
        times = [result.times for result in results if isinstance(result, Embedded)]
        return embedding_pb2.EmbedResponse(
            results=[_embed_result(result) for result in results],
            model=model.name,
            space=model.space,
            timing=media.timing(watch, StageTimes.longest(times)),
        )

    async def StreamEmbed(
        self, requests: AsyncIterator[embedding_pb2.StreamEmbedRequest], context: Any
    ) -> AsyncIterator[embedding_pb2.StreamEmbedResponse]:
        answers = as_completed(
            requests,
            self._stream_embed,
            embedding_pb2.StreamEmbedRequest.ByteSize,
            self._bounds,
        )
        async for ready in answers:
            for answer in ready:
                yield answer

    async def _stream_embed(
        self, request: embedding_pb2.StreamEmbedRequest
    ) -> embedding_pb2.StreamEmbedResponse:
        watch = Stopwatch()
        try:
            check(STREAM_EMBED, request)
            model = self._catalog.get(request.model)
            embedded = await self._embed_content(model, request.content)
        except TriptychError as error:
            return embedding_pb2.StreamEmbedResponse(id=request.id, error=media.item_error(error))
        return embedding_pb2.StreamEmbedResponse(
            id=request.id,
            embedding=_embedding(embedded),
            space=model.space,
            timing=media.timing(watch, embedded.times),
        )

    async def _embed_content(self, model: Model, content: media_pb2.Content) -> Embedded:
        try:
            return await self._embedder.embed_patiently(model, media.content(content))
        except InvalidArgument as error:
            raise error.within("content") from None

    async def Rank(
        self, request: embedding_pb2.RankRequest, context: Any
    ) -> embedding_pb2.RankResponse:
        watch = Stopwatch()
        check(RANK, request)
        model = self._catalog.get(request.model)
        candidates = [media.content_or_error(each) for each in request.candidates]
        ranking = await rank(
            self._embedder, model, media.content(request.query), candidates, request.templates
        )
        return embedding_pb2.RankResponse(
            results=_rank_results(ranking, request.limit),
            model=model.name,
            space=model.space,
            timing=media.timing(watch, ranking.times),
        )


def _embedding(embedded: Embedded) -> embedding_pb2.Embedding:
    return embedding_pb2.Embedding(
        vector=media.vector_message(embedded.vector), truncated=embedded.truncated
    )


def _embed_result(result: Embedded | TriptychError) -> embedding_pb2.EmbedResult:
    if isinstance(result, TriptychError):
        return embedding_pb2.EmbedResult(error=media.item_error(result))
    return embedding_pb2.EmbedResult(embedding=_embedding(result))


def _rank_results(ranking: Ranking, limit: int) -> list[embedding_pb2.RankResult]:
    scored = [i for i in ranking.order if isinstance(ranking.outcomes[i], Score)]
    failed = ranking.order[len(scored) :]
    return [
        _rank_result(i, ranking.outcomes[i]) for i in (*scored[: limit or len(scored)], *failed)
    ]


def _rank_result(index: int, outcome: Score | TriptychError) -> embedding_pb2.RankResult:
    if isinstance(outcome, TriptychError):
        return embedding_pb2.RankResult(index=index, error=media.item_error(outcome))
    score = embedding_pb2.Score(similarity=outcome.similarity, probability=outcome.probability)
    return embedding_pb2.RankResult(index=index, score=score)
