"""Response messages to callers' values: the half of the clients that both share, coming back."""

from collections.abc import Sequence
from datetime import UTC

from google.protobuf import duration_pb2

from triptych import metadata, vectors
from triptych.errors import TriptychError, from_item_error
from triptych.models import Encoder, Generator, Model
from triptych.types import (
    Collection,
    Deleted,
    Embedding,
    Embeddings,
    Hit,
    Hits,
    Index,
    IndexKind,
    Ranked,
    Ranking,
    StoredItem,
    StreamedEmbedding,
    Timing,
    Upserted,
)
from triptych.v1 import embedding_pb2, media_pb2, model_pb2, search_pb2

_INDEX_KINDS = {
    search_pb2.Index.KIND_UNSPECIFIED: IndexKind.AUTO,
    search_pb2.Index.KIND_AUTO: IndexKind.AUTO,
    search_pb2.Index.KIND_FLAT: IndexKind.FLAT,
    search_pb2.Index.KIND_HNSW: IndexKind.HNSW,
}


def embeddings(responses: Sequence[embedding_pb2.EmbedResponse]) -> Embeddings:
    """Join the responses of one `embed`, at least one."""
    return Embeddings(
        results=tuple(_embedding(result) for r in responses for result in r.results),
        model=responses[0].model,
        space=responses[0].space,
        timing=sum((timing(r.timing) for r in responses), Timing()),
    )


def _embedding(result: embedding_pb2.EmbedResult) -> Embedding:
    if result.HasField("error"):
        return Embedding(vector=None, error=from_item_error(result.error))
    return Embedding(vectors.from_message(result.embedding.vector), result.embedding.truncated)


def streamed_embedding(response: embedding_pb2.StreamEmbedResponse) -> StreamedEmbedding:
    failed = response.HasField("error")
    return StreamedEmbedding(
        id=response.id,
        vector=None if failed else vectors.from_message(response.embedding.vector),
        truncated=response.embedding.truncated,
        space=response.space,
        timing=timing(response.timing),
        error=from_item_error(response.error) if failed else None,
    )


def ranking(response: embedding_pb2.RankResponse) -> Ranking:
    return Ranking(
        results=tuple(
            Ranked(
                index=result.index,
                similarity=result.score.similarity,
                probability=result.score.probability,
                error=from_item_error(result.error) if result.HasField("error") else None,
            )
            for result in response.results
        ),
        model=response.model,
        space=response.space,
        timing=timing(response.timing),
    )


def collection(message: search_pb2.Collection) -> Collection:
    return Collection(
        name=message.name,
        model=message.model,
        space=message.space,
        dimension=message.dimension,
        index=Index(_INDEX_KINDS[message.index.kind], message.index.threshold),
        item_count=message.item_count,
        create_time=message.create_time.ToDatetime(UTC),
    )


def upserted(response: search_pb2.UpsertItemsResponse) -> Upserted:
    if response.HasField("error"):
        return Upserted(response.id, error=from_item_error(response.error))
    return Upserted(response.id, response.upserted.created, response.upserted.truncated)


def deleted(response: search_pb2.DeleteItemsResponse) -> tuple[Deleted, ...]:
    return tuple(
        Deleted(r.id, from_item_error(r.error) if r.HasField("error") else None)
        for r in response.results
    )


def item(message: search_pb2.Item) -> StoredItem:
    return StoredItem(
        id=message.id,
        metadata=metadata.from_message(message.metadata),
        uri=message.uri,
        update_time=message.update_time.ToDatetime(UTC),
        has_content=message.has_content,
        content=_content(message.content),
        vector=vectors.from_message(message.vector) if message.HasField("vector") else None,
    )


def _content(message: media_pb2.Content) -> str | bytes | None:
    match message.WhichOneof("kind"):
        case "text":
            return message.text
        case "image":
            return message.image.encoded
        case _:
            return None


def hits(response: search_pb2.SearchResponse) -> Hits:
    return Hits(
        hits=tuple(
            Hit(item(hit.item), hit.score, hit.itm_score if hit.HasField("itm_score") else None)
            for hit in response.hits
        ),
        next_page_token=response.next_page_token,
        timing=timing(response.timing),
    )


def batch_hits(response: search_pb2.BatchSearchResponse) -> list[Hits | TriptychError]:
    return [
        from_item_error(result.error) if result.HasField("error") else hits(result.response)
        for result in response.results
    ]


def model(message: model_pb2.Model) -> Model:
    return Model(
        name=message.name,
        family=message.family,
        space=message.space,
        dimension=message.dimension,
        source=message.source,
        default=message.default,
        encoders=tuple(_encoder(encoder) for encoder in message.encoders),
        generator=_generator(message.generator) if message.HasField("generator") else None,
    )


def _encoder(message: model_pb2.Encoder) -> Encoder:
    return Encoder(
        name=message.name,
        role=_role(message.role),
        version=message.version,
        precision=message.precision,
        max_batch_size=message.max_batch_size,
        ready=message.state == model_pb2.STATE_READY,
        state_reason=message.state_reason,
        image_size=(message.image_height, message.image_width),
        context_length=message.context_length,
    )


def _role(value: int) -> str:
    """The role's name; the number of one that is newer than this client."""
    names = {number: name for name, number in model_pb2.Role.items()}
    return names.get(value, str(value)).removeprefix("ROLE_").lower()


def _generator(message: model_pb2.Generator) -> Generator:
    return Generator(
        family=message.family,
        precision=message.precision,
        context_length=message.context_length,
        image_tokens=message.image_tokens,
        max_images=message.max_images,
        beam_search=message.beam_search,
        choices=message.choices,
        ready=message.state == model_pb2.STATE_READY,
        state_reason=message.state_reason,
        chat=message.chat,
        proposals=message.proposals,
    )


def timing(message: media_pb2.Timing) -> Timing:
    return Timing(
        total=_seconds(message.total),
        preprocess=_seconds(message.preprocess),
        queue=_seconds(message.queue),
        inference=_seconds(message.inference),
        batch_size=message.batch_size,
        generation=_seconds(message.generation),
        first_token=_seconds(message.first_token) if message.HasField("first_token") else None,
    )


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.ToNanoseconds() / 1e9
