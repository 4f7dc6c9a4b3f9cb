"""Collection stores: who keeps items and finds the nearest."""

import os

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

# Threads of OpenMP that wait would spin, and take the cores from the encoders. It reads this when
# faiss is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
