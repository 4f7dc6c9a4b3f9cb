"""The database itself."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from vectors import items, random_vectors

from triptych_server.engines.collections import Collection, IndexPolicy, database
from triptych_server.engines.collections.reader import ReaderPool
from triptych_server.engines.collections.rows import rows

D = 512


def test_a_long_log_is_begun_anew_under_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 1024 * 1024  # SQLite itself would wait for eight times as much
    monkeypatch.setattr(database, "_WAL_LIMIT", limit)
    path = tmp_path / "items.sqlite3"
    now = datetime.now(UTC)
    database.create(path, Collection("a", "m", "s", D, IndexPolicy(), 0, now))
    writer, readers = database.connect(path), ReaderPool(path)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with readers.borrow() as reader, reader.snapshot():
                reader.seqs()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    encoded = rows(items(random_vectors(100, D)), D)
    sizes = []
    for _ in range(30):
        with database.transaction(writer) as writing:
            for row in encoded:
                writing.upsert(row, now)
        database.shorten_log(writer, path)
        sizes.append(path.with_name("items.sqlite3-wal").stat().st_size)
    done.set()
    for thread in threads:
        thread.join()
    readers.close()
    writer.close()
    assert max(sizes) < 2 * limit
