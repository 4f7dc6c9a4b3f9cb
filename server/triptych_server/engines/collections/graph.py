"""HNSW graphs (arXiv 1603.09320) over vectors that lie elsewhere.

A graph holds links only, about 4 x 2 x LINKS bytes a row. The vectors that it compares stay where
they are, in a mapped file, so that they are in memory once; only building a graph needs a copy.
"""

import threading
from pathlib import Path

import faiss

from triptych_server.engines.collections import exact
from triptych_server.engines.collections.exact import Mask, Rows, Vectors

LINKS = 32  # links a row and level; twice as many on the lowest
BUILD_DEPTH = 80  # candidates considered when a row is linked
_BUILD_BATCH = 1_000  # rows linked between two looks at the stop event


class BuildStoppedError(Exception):
    """The collection is closing; what was built is dropped."""


class Graph:
    """An immutable graph; row i is vector i. Safe to search from many threads."""

    def __init__(self, index: faiss.IndexHNSWFlat, vectors: Vectors) -> None:
        self._vectors = vectors
        self._storage = faiss.IndexFlatIP(vectors.shape[1])
        # A view of the vectors in place of a copy; the empty index lends its (null) owner.
        self._storage.codes = faiss.MaybeOwnedVectorUInt8.create_view(
            faiss.cast_integer_to_void_ptr(vectors.ctypes.data),
            vectors.nbytes,
            self._storage.codes.owner,
        )
        self._storage.ntotal = len(vectors)
        index.storage = self._storage
        index.own_fields = False
        self._index = index

    @classmethod
    def load(cls, path: Path, vectors: Vectors) -> "Graph":
        """Read links from a file; raises `ValueError` if they are of other vectors."""
        index = _read_links(path)
        if index.d != vectors.shape[1] or index.ntotal != len(vectors):
            raise ValueError(f"{path} does not belong to its vectors")
        return cls(index, vectors)

    def search(self, query: Vectors, k: int, depth: int, allowed: Mask) -> tuple[Rows, Vectors]:
        """About the `k` allowed rows nearest to `query` and their inner products, in no order.

        `depth` is how many candidates the walk keeps: larger is slower and finds more.
        """
        visited, _memory = exact.selector(allowed)
        parameters = faiss.SearchParametersHNSW(efSearch=depth)
        parameters.sel = visited
        _, found = self._index.search(query[None], k, params=parameters)
        rows = found[0][found[0] >= 0]
        return rows, exact.inner_products(self._vectors, query, rows)


def build(
    vectors: Vectors, linked: int, links: Path | None, target: Path, stop: threading.Event
) -> None:
    """Link `vectors` `[N, D]` and write the links to `target`.

    The first `linked` rows are linked as the file `links` says. Uses as many threads as faiss is
    set to in the calling thread. Raises `BuildStoppedError` soon after `stop` is set.
    """
    count, dimension = vectors.shape
    if links:
        index, storage = _read_links(links), faiss.IndexFlatIP(dimension)
        index.storage = storage
        index.own_fields = False
    else:
        index = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
        storage = faiss.downcast_index(index.storage)
    storage.codes.resize(vectors.nbytes)  # reserves: growing step by step peaks at twice as much
    storage.reset()
    index.hnsw.efConstruction = BUILD_DEPTH
    storage.add(vectors[:linked])
    for start in range(linked, count, _BUILD_BATCH):
        if stop.is_set():
            raise BuildStoppedError
        index.add(vectors[start : start + _BUILD_BATCH])
    faiss.write_index(index, str(target), faiss.IO_FLAG_SKIP_STORAGE)


def _read_links(path: Path) -> faiss.IndexHNSWFlat:
    return faiss.read_index(str(path), faiss.IO_FLAG_SKIP_STORAGE)
