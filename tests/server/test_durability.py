"""What was acknowledged survives kill -9 at any moment."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from calls import Stubs, vector

from triptych.v1 import search_pb2
from triptych_server.launch import GatewayProcess

# Each kill takes some seconds; `TRIPTYCH_KILLS=20 make test TESTS=tests/server/test_durability.py`
# is the full run.
KILLS = int(os.environ.get("TRIPTYCH_KILLS", "2"))
ACKNOWLEDGED = 1_000
DIMENSION = 128


def requests(generation: int) -> Iterator[search_pb2.UpsertItemsRequest]:
    """An endless stream of new items, with a replacement of an earlier one every tenth."""
    rng = np.random.default_rng(generation)
    for i in itertools.count():
        key = f"g{generation}-{i - 7 if i % 10 == 9 else i}"
        yield search_pb2.UpsertItemsRequest(
            collection="a",
            item=search_pb2.Item(id=key),
            vector=vector(rng.normal(size=DIMENSION).astype(np.float32)),
        )


def write_and_kill(process: GatewayProcess, stubs: Stubs, generation: int) -> set[str]:
    """Write until enough is acknowledged, delete some of it, go on writing, and kill; returns the
    ids that must be there."""
    call = stubs.search.UpsertItems(requests(generation))
    acknowledged = [next(call).id for _ in range(ACKNOWLEDGED)]
    # Nothing replaces these any more: a replacement reaches seven items back.
    gone = acknowledged[:500:5]
    deletion = search_pb2.DeleteItemsRequest(collection="a", ids=set(gone))
    stubs.search.DeleteItems(deletion)
    acknowledged += [next(call).id for _ in range(generation * 37 % 400)]
    process.kill()
    with pytest.raises(grpc.RpcError):
        acknowledged.extend(each.id for each in call)
    return set(acknowledged) - set(gone)


def stored(stubs: Stubs) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = stubs.search.ListItems(
            search_pb2.ListItemsRequest(collection="a", page_size=1000, page_token=token)
        )
        found += [item.id for item in page.items]
        if not (token := page.next_page_token):
            return found


def searched(stubs: Stubs, limit: int = 1000) -> list[str]:
    """The nearest items of a fixed query, of which each must be there once."""
    term = search_pb2.Term(vector=vector(np.ones(DIMENSION, np.float32)))
    query = search_pb2.Query(terms=[term])
    request = search_pb2.SearchRequest(collection="a", query=query, limit=limit)
    return [hit.item.id for hit in stubs.search.Search(request).hits]


@pytest.mark.timeout(60 * KILLS)
def test_no_acknowledged_item_is_missing_or_there_twice(tmp_path: Path) -> None:
    flags = ("--data", tmp_path / "data")
    required: set[str] = set()
    for generation in range(KILLS):
        with (
            GatewayProcess(*flags, log=tmp_path / "log") as process,
            grpc.insecure_channel(process.target) as channel,
        ):
            stubs = Stubs(channel)
            if generation == 0:
                collection = search_pb2.Collection(name="a")
                stubs.search.CreateCollection(
                    search_pb2.CreateCollectionRequest(collection=collection)
                )
            required |= write_and_kill(process, stubs, generation)
        with (
            GatewayProcess(*flags, log=tmp_path / "log") as process,
            grpc.insecure_channel(process.target) as channel,
        ):
            stubs = Stubs(channel)
            found = stored(stubs)
            assert len(found) == len(set(found))
            assert required <= set(found)
            hits = searched(stubs)
            assert len(hits) == len(set(hits)) == min(1000, len(found))
            assert set(hits) <= set(found)
            name = search_pb2.GetCollectionRequest(name="a")
            assert stubs.search.GetCollection(name).collection.item_count == len(found)
