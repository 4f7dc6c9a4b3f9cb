"""A process that writes to a collection until it is killed, and what it must have left behind.

Each of its lanes writes to items of its own, one call at a time. Every call is determined by its
lane and number, so that who has read how many were acknowledged knows what must be on disk: all of
those, and of the next one all or nothing.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np
from stores import StoreOpener, create_collection
from vectors import Vectors, unit

from triptych_server.engines.collections import IndexKind, Item
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.errors import NotFound

COLLECTION = "written"
LANES = 8
DIMENSION = 16
BATCH = 24
LANE_ITEMS = 240  # ids of a lane: after some calls every write is a replacement


def vector(lane: int, call: int) -> Vectors:
    return unit(np.random.default_rng((lane, call)).standard_normal(DIMENSION))


def deletes(call: int) -> bool:
    """Every fifth call deletes half of what the one before wrote."""
    return call % 5 == 4


def ids(lane: int, call: int) -> list[str]:
    """The items that a call writes or deletes."""
    if deletes(call):
        return ids(lane, call - 1)[::2]
    return [f"{lane}-{(call * BATCH + n) % LANE_ITEMS}" for n in range(BATCH)]


def state(lane: int, calls: int) -> dict[str, int]:
    """The items of a lane after so many calls, each with the number of the call that wrote it."""
    items: dict[str, int] = {}
    for call in range(calls):
        for item_id in ids(lane, call):
            if deletes(call):
                del items[item_id]
            else:
                items[item_id] = call
    return items


async def write_forever(store: LocalCollectionStore, lane: int, call: int) -> None:
    """Go on at `call`; prints the lane after each acknowledgement."""
    while True:
        if deletes(call):
            await store.delete_items(COLLECTION, ids(lane, call))
        else:
            metadata = {"lane": lane, "call": call}
            each = [Item(i, vector(lane, call), metadata) for i in ids(lane, call)]
            await store.upsert(COLLECTION, each)
        call += 1
        print(lane, flush=True)


async def main(root: Path, calls: list[int]) -> None:
    store = StoreOpener(root)()
    try:
        await store.get(COLLECTION)
    except NotFound:
        await create_collection(store, COLLECTION, DIMENSION, IndexKind.HNSW)
    await asyncio.gather(*(write_forever(store, lane, call) for lane, call in enumerate(calls)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), [int(argument) for argument in sys.argv[2:]]))
