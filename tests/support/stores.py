"""Embedded stores in a directory of a test."""

from pathlib import Path

from triptych_server.engines.collections import IndexKind, IndexPolicy
from triptych_server.engines.collections.local import LocalCollectionStore


class StoreOpener:
    """Opens one data directory, again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: list[LocalCollectionStore] = []

    def __call__(self) -> LocalCollectionStore:
        store = LocalCollectionStore(self.root, threads=3)
        self._opened.append(store)
        return store

    def directory(self, name: str) -> Path:
        """Where a collection lies."""
        return self.root / "collections" / name

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


async def create_collection(
    store: LocalCollectionStore,
    name: str,
    dimension: int,
    kind: IndexKind = IndexKind.FLAT,
    threshold: int = 50_000,
) -> None:
    index = IndexPolicy(kind, threshold)
    await store.create(name, model="m", space="s", dimension=dimension, index=index)
