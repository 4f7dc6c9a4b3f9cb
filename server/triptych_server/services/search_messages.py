"""search.proto's messages to values and back."""

import math
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from triptych.v1 import search_pb2
from triptych_server.capabilities.queries import ItemReference, RankedHit, Rerank, Term
from triptych_server.capabilities.retrieval import Draft, Prepared
from triptych_server.engines.collections import Collection, IndexKind, IndexPolicy, StoredItem
from triptych_server.errors import NotFound, TriptychError
from triptych_server.services import media

DEFAULT_CANDIDATES = 20
_KINDS = {
    search_pb2.Index.KIND_UNSPECIFIED: IndexKind.AUTO,
    search_pb2.Index.KIND_AUTO: IndexKind.AUTO,
    search_pb2.Index.KIND_FLAT: IndexKind.FLAT,
    search_pb2.Index.KIND_HNSW: IndexKind.HNSW,
}
_KIND_MESSAGES = {
    IndexKind.AUTO: search_pb2.Index.KIND_AUTO,
    IndexKind.FLAT: search_pb2.Index.KIND_FLAT,
    IndexKind.HNSW: search_pb2.Index.KIND_HNSW,
}


def index_policy(message: search_pb2.Index) -> IndexPolicy:
    kind = _KINDS[message.kind]
    return IndexPolicy(kind, message.threshold) if message.threshold else IndexPolicy(kind)


def collection(value: Collection) -> search_pb2.Collection:
    return search_pb2.Collection(
        name=value.name,
        model=value.model,
        space=value.space,
        dimension=value.dimension,
        index=search_pb2.Index(
            kind=_KIND_MESSAGES[value.index.kind], threshold=value.index.threshold
        ),
        item_count=value.item_count,
        create_time=_timestamp(value.create_time),
    )


def item(value: StoredItem) -> search_pb2.Item:
    message = search_pb2.Item(
        id=value.id,
        uri=value.uri,
        has_content=value.has_content,
        update_time=_timestamp(value.update_time),
    )
    if value.metadata:
        message.metadata.update(value.metadata)
    if value.content is not None:
        message.content.CopyFrom(media.content_message(value.content.kind, value.content.data))
    if value.vector is not None:
        message.vector.CopyFrom(media.vector_message(value.vector))
    return message


def draft(message: search_pb2.UpsertItemsRequest) -> Draft:
    by_vector = message.WhichOneof("source") == "vector"
    return Draft(
        id=message.item.id,
        metadata=_struct(message.item.metadata),
        uri=message.item.uri,
        source=media.vector(message.vector) if by_vector else media.content(message.content),
        store_content=message.store_content,
    )


def term(message: search_pb2.Term) -> Term:
    weight = message.weight if message.HasField("weight") else 1.0
    match message.WhichOneof("kind"):
        case "vector":
            return Term(media.vector(message.vector), weight)
        case "item_id":
            return Term(ItemReference(message.item_id), weight)
        case _:
            return Term(media.content(message.content), weight)


def rerank(message: search_pb2.Rerank) -> Rerank:
    return Rerank(message.model, message.candidates or DEFAULT_CANDIDATES)


def hit(value: RankedHit) -> search_pb2.Hit:
    return search_pb2.Hit(item=item(value.item), score=value.score, itm_score=value.itm_score)


def upserted(
    item_id: str, prepared: Prepared | TriptychError, outcome: bool | TriptychError
) -> search_pb2.UpsertItemsResponse:
    if isinstance(outcome, TriptychError) or isinstance(prepared, TriptychError):
        error = prepared if isinstance(prepared, TriptychError) else outcome
        assert isinstance(error, TriptychError)
        return search_pb2.UpsertItemsResponse(id=item_id, error=media.item_error(error))
    return search_pb2.UpsertItemsResponse(
        id=item_id,
        upserted=search_pb2.UpsertedItem(created=outcome, truncated=prepared.truncated),
    )


def deleted(position: int, item_id: str, found: bool) -> search_pb2.DeleteItemsResult:
    if found:
        return search_pb2.DeleteItemsResult(id=item_id)
    error = NotFound("there is no such item", reason="ITEM_NOT_FOUND", field=f"ids[{position}]")
    return search_pb2.DeleteItemsResult(id=item_id, error=media.item_error(error))


def _struct(message: Any) -> dict[str, Any]:
    """A Struct as JSON values; whole numbers become integers, as they were before the wire."""
    return {key: _value(value) for key, value in message.fields.items()}


def _value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            exact = number.is_integer() and math.fabs(number) < 2**53
            return int(number) if exact else number
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return [_value(element) for element in message.list_value.values]
        case _:
            return None


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
