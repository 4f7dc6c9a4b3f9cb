"""The SQLite database of one collection: the truth about its items.

A clock ticks once for every item written and once for every transaction. The tick of its writing is
an item's `seq`: seqs ascend in the order of writing and are never used again, so a replaced item
has a new one. The tick that a transaction ends with names the state that it made.

Items are slim, so that scans stay light: vectors and contents lie in tables of their own.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections.protocol import Collection, IndexKind, IndexPolicy
from triptych_server.engines.collections.rows import Row
from triptych_server.errors import Internal, Unavailable

SCHEMA_VERSION = 1
_SCHEMA = f"""
PRAGMA page_size = 8192;  -- three vectors of 512 components a page
PRAGMA journal_mode = WAL;
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE collection (
    model TEXT NOT NULL, space TEXT NOT NULL, dimension INTEGER NOT NULL,
    index_kind TEXT NOT NULL, index_threshold INTEGER NOT NULL, create_time INTEGER NOT NULL
);
CREATE TABLE clock (tick INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
CREATE TABLE items (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL, uri TEXT NOT NULL,
    update_time INTEGER NOT NULL, content_kind TEXT
);
CREATE TABLE vectors (seq INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE contents (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_WAL_LIMIT = 64 * 1024 * 1024  # bytes of write-ahead log


def connect(path: Path) -> sqlite3.Connection:
    """Open the database; it is an error if there is none."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
    return connection


def shorten_log(connection: sqlite3.Connection, path: Path) -> None:
    """Begin the write-ahead log anew if it has grown long.

    SQLite does that by itself only at a moment without readers, which may never come.
    """
    if path.with_name(f"{path.name}-wal").stat().st_size > _WAL_LIMIT:
        connection.execute("PRAGMA wal_checkpoint(RESTART)")


def create(path: Path, collection: Collection) -> None:
    """Make an empty database that is wholly on disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        connection.execute(
            "INSERT INTO collection VALUES (?, ?, ?, ?, ?, ?)",
            (
                collection.model,
                collection.space,
                collection.dimension,
                collection.index.kind.value,
                collection.index.threshold,
                to_microseconds(collection.create_time),
            ),
        )
    finally:
        connection.close()


def describe(connection: sqlite3.Connection, name: str) -> Collection:
    """What was given to `create`; the item count is 0. Raises `Internal` for another schema."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise Internal(
            f"the collection {name!r} is of schema {version}; this server reads {SCHEMA_VERSION}"
        )
    row = connection.execute("SELECT * FROM collection").fetchone()
    model, space, dimension, kind, threshold, create_time = row
    return Collection(
        name=name,
        model=model,
        space=space,
        dimension=dimension,
        index=IndexPolicy(IndexKind(kind), threshold),
        item_count=0,
        create_time=to_datetime(create_time),
    )


@contextmanager
def translated_errors() -> Iterator[None]:
    """Errors of SQLite and of files as those that a caller can see."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:  # disk full, read-only, busy, I/O
        raise Unavailable(
            f"the collection cannot be used now: {error}", reason="STORE_UNAVAILABLE"
        ) from error
    except sqlite3.Error as error:
        raise Internal(f"the collection's database failed: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator["Transaction"]:
    """Write on the only writing connection; durable on leaving, undone by an exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (tick,) = connection.execute("SELECT tick FROM clock").fetchone()
        writing = Transaction(connection, tick + 1)
        yield writing
        connection.execute("UPDATE clock SET tick = ?", (writing.tick,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


@dataclass(slots=True)
class Transaction:
    """Changes on their way: the vectors that they add by seq, and the seqs that they take away.

    At the end of the transaction `tick` names the state that it made.
    """

    connection: sqlite3.Connection
    tick: int
    added: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)

    def upsert(self, row: Row, update_time: datetime) -> bool:
        """Write one item; returns whether its id was new."""
        replaced = self.delete(row.id)
        seq = self.tick
        self.tick += 1
        self.connection.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
            (
                seq,
                row.id,
                row.metadata,
                row.uri,
                to_microseconds(update_time),
                row.content.kind if row.content else None,
            ),
        )
        vector = row.vector.astype("<f4", copy=False).tobytes()
        self.connection.execute("INSERT INTO vectors VALUES (?, ?)", (seq, vector))
        if row.content:
            self.connection.execute("INSERT INTO contents VALUES (?, ?)", (seq, row.content.data))
        self.added[seq] = row.vector
        return not replaced

    def delete(self, item_id: str) -> bool:
        """Delete one item; returns whether there was one."""
        found = self.connection.execute(
            "SELECT seq, content_kind FROM items WHERE id = ?", (item_id,)
        ).fetchone()
        if found is None:
            return False
        seq, content_kind = found
        self.connection.execute("DELETE FROM items WHERE seq = ?", (seq,))
        self.connection.execute("DELETE FROM vectors WHERE seq = ?", (seq,))
        if content_kind is not None:
            self.connection.execute("DELETE FROM contents WHERE seq = ?", (seq,))
        if self.added.pop(seq, None) is None:
            self.removed.append(seq)
        return True


def to_microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)


def to_datetime(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
