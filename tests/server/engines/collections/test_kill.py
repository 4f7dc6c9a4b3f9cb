"""kill -9 at any moment loses nothing that was acknowledged.

`TRIPTYCH_KILLS=20 pytest tests/server/engines/collections/test_kill.py` is the full run.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import collection_writer
import pytest
from collection_writer import COLLECTION, LANES, state, vector
from stores import StoreOpener

from triptych_server.engines.collections import Include
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.errors import FailedPrecondition

KILLS = int(os.environ.get("TRIPTYCH_KILLS", "3"))
ACKNOWLEDGED = 150  # calls of some 20 items, before each kill


def write_and_kill(root: Path, calls: list[int], count: int) -> list[int]:
    """Continue each lane at its call, kill after `count` acknowledgements, and return how many
    calls of each lane were acknowledged in all."""
    command = [sys.executable, collection_writer.__file__, str(root), *map(str, calls)]
    done = list(calls)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(count):
            done[int(process.stdout.readline())] += 1
        with pytest.raises(FailedPrecondition):
            LocalCollectionStore(root, threads=1)
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:  # acknowledged before it died
            if line.endswith("\n"):
                done[int(line)] += 1
    assert process.returncode == -signal.SIGKILL
    return done


async def stored(store: LocalCollectionStore) -> dict[str, int]:
    """All items, each with the call that wrote it; none is listed twice."""
    found: dict[str, int] = {}
    cursor = None
    while True:
        page = await store.list_items(
            COLLECTION, limit=500, cursor=cursor, filter=None, include=Include()
        )
        for item in page.items:
            assert item.id not in found
            found[item.id] = item.metadata["call"]
        if (cursor := page.cursor) is None:
            return found


@pytest.mark.timeout(30 * KILLS)
async def test_acknowledged_calls_are_whole_and_there_once(open_store: StoreOpener) -> None:
    calls = [0] * LANES
    for kill in range(KILLS):
        calls = write_and_kill(open_store.root, calls, ACKNOWLEDGED + 37 * kill % 100)
        store = open_store()
        found = await stored(store)
        for lane, done in enumerate(calls):
            lane_items = {i: call for i, call in found.items() if i.startswith(f"{lane}-")}
            assert lane_items in (state(lane, done), state(lane, done + 1))
            calls[lane] = done + (lane_items != state(lane, done))
        assert (await store.get(COLLECTION)).item_count == len(found)
        hits = await store.search(COLLECTION, vector(0, 0), limit=10_000)
        assert sorted(hit.item.id for hit in hits) == sorted(found)
        for item_id, call in list(found.items())[::100]:
            made_of = vector(int(item_id.partition("-")[0]), call)
            best = await store.search(COLLECTION, made_of, limit=collection_writer.BATCH)
            assert item_id in [hit.item.id for hit in best if hit.score > 0.9999]
        await store.close()
