"""Collection stores: who keeps items and finds the nearest."""

from triptych_server.engines.collections.protocol import (
    Collection,
    CollectionStore,
    Hit,
    Include,
    IndexKind,
    IndexPolicy,
    Item,
    ItemPage,
    StoredContent,
    StoredItem,
)

__all__ = [
    "Collection",
    "CollectionStore",
    "Hit",
    "Include",
    "IndexKind",
    "IndexPolicy",
    "Item",
    "ItemPage",
    "StoredContent",
    "StoredItem",
]
