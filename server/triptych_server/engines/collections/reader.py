"""Reading a collection's database, on connections of its own."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections import database
from triptych_server.engines.collections.filter_sql import condition
from triptych_server.engines.collections.filters import Filter
from triptych_server.engines.collections.protocol import (
    MAX_CONTENT_BYTES,
    Include,
    StoredContent,
    StoredItem,
)
from triptych_server.errors import InvalidArgument

Seqs = npt.NDArray[np.int64]

_ITEM = "seq, id, metadata, uri, update_time, content_kind"


class Reader:
    """One connection, used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Everything read inside is of one state of the database; yields its tick."""
        self._connection.execute("BEGIN")
        try:
            (tick,) = self._connection.execute("SELECT tick FROM clock").fetchone()
            yield tick
        finally:
            self._connection.execute("ROLLBACK")

    def seqs(self) -> Seqs:
        """The seqs of all items, ascending."""
        found = self._connection.execute("SELECT seq FROM items").fetchall()
        return np.sort(np.array(found, np.int64).reshape(-1))

    def vectors(
        self, after: int, limit: int, dimension: int
    ) -> tuple[Seqs, npt.NDArray[np.float32]]:
        """Seqs `[N]` and vectors `[N, D]` of the first `limit` items with seqs above `after`."""
        found = self._connection.execute(
            "SELECT seq, vector FROM vectors WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()
        seqs = np.array([seq for seq, _ in found], np.int64)
        vectors = np.frombuffer(b"".join(vector for _, vector in found), "<f4")
        return seqs, vectors.reshape(len(seqs), dimension)

    def matching(self, filter: Filter, after: int) -> Seqs:
        """Seqs above `after` of the items that match, ascending."""
        sql, parameters = condition(filter)
        found = self._connection.execute(
            f"SELECT seq FROM items WHERE seq > :after AND {sql} ORDER BY seq",
            {**parameters, "after": after},
        ).fetchall()
        return np.array(found, np.int64).reshape(-1)

    def seqs_of(self, ids: Sequence[str]) -> Seqs:
        """Seqs of those ids that there are."""
        found = self._connection.execute(
            "SELECT seq FROM items WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        ).fetchall()
        return np.array(found, np.int64).reshape(-1)

    def item(self, item_id: str, include: Include) -> StoredItem | None:
        found = self._items("WHERE id = :id", {"id": item_id}, include)
        return next(iter(found.values()), None)

    def items(self, seqs: Sequence[int], include: Include) -> dict[int, StoredItem]:
        """Items by seq; absent those that there are not."""
        where = "WHERE seq IN (SELECT value FROM json_each(:seqs))"
        return self._items(where, {"seqs": json.dumps(list(seqs))}, include)

    def page(
        self, after: int, limit: int, filter: Filter | None, include: Include
    ) -> dict[int, StoredItem]:
        """The first `limit` items with seqs above `after`, ascending."""
        sql, parameters = condition(filter) if filter else ("1", {})
        where = f"WHERE seq > :after AND {sql} ORDER BY seq LIMIT :limit"
        bounds = {"after": after, "limit": limit}
        return self._items(where, {**parameters, **bounds}, include)

    def close(self) -> None:
        self._connection.close()

    def _items(
        self, where: str, parameters: Mapping[str, str | int], include: Include
    ) -> dict[int, StoredItem]:
        rows = self._connection.execute(f"SELECT {_ITEM} FROM items {where}", parameters).fetchall()
        if include.content:
            self._check_size([row[0] for row in rows])
        return {row[0]: self._item(row, include) for row in rows}

    def _check_size(self, seqs: list[int]) -> None:
        """Refuse contents that do not fit into one answer before any is read."""
        (size,) = self._connection.execute(
            "SELECT coalesce(sum(length(data)), 0) FROM contents "
            "WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(seqs),),
        ).fetchone()
        if size > MAX_CONTENT_BYTES:
            raise InvalidArgument(
                "limit",
                f"the contents asked for have {size:,} bytes, and {MAX_CONTENT_BYTES:,} fit into "
                "an answer; ask for fewer items or without their contents",
                reason="RESPONSE_TOO_LARGE",
            )

    def _item(
        self, row: tuple[int, str, str, str, int, str | None], include: Include
    ) -> StoredItem:
        seq, item_id, metadata, uri, update_time, content_kind = row
        content = None
        if include.content and content_kind is not None:
            content = StoredContent(content_kind, self._blob("contents", "data", seq))
        vector = None
        if include.vector:
            vector = np.frombuffer(self._blob("vectors", "vector", seq), "<f4")
        return StoredItem(
            id=item_id,
            metadata=json.loads(metadata),
            uri=uri,
            update_time=database.to_datetime(update_time),
            has_content=content_kind is not None,
            content=content,
            vector=vector,
        )

    def _blob(self, table: str, column: str, seq: int) -> bytes:
        query = f"SELECT {column} FROM {table} WHERE seq = ?"
        (data,) = self._connection.execute(query, (seq,)).fetchone()
        assert isinstance(data, bytes), "the column is a BLOB"
        return data


class ReaderPool:
    """Readers that threads borrow; as many as are borrowed at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[Reader] = []
        self._borrowed = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self) -> Iterator[Reader]:
        """Raises `PoolClosedError` after `close`."""
        with self._changed:
            if self._closed:
                raise PoolClosedError
            self._borrowed += 1
            reader = self._idle.pop() if self._idle else None
        try:
            reader = reader or Reader(database.connect(self._path))
            yield reader
        finally:
            with self._changed:
                self._borrowed -= 1
                if reader is not None:
                    self._idle.append(reader)
                self._changed.notify_all()

    def close(self) -> None:
        """Let no one borrow any more, wait for those who have, and close all connections."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._borrowed == 0)
            for reader in self._idle:
                reader.close()
            self._idle.clear()


class PoolClosedError(Exception):
    """The collection was closed or deleted."""
