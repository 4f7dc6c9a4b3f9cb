"""Exact search: the query against every allowed row."""

import faiss
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def selector(allowed: Mask) -> tuple[faiss.IDSelector | None, npt.NDArray[np.uint8]]:
    """What tells faiss which rows to visit (None: all), and its memory, to be kept as long."""
    if allowed.all():
        return None, np.empty(0, np.uint8)
    bits = np.packbits(allowed, bitorder="little")
    return faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits)), bits


def nearest(vectors: Vectors, query: Vectors, k: int, allowed: Mask) -> tuple[Rows, Vectors]:
    """The `k` allowed rows of `vectors` `[N, D]` with the largest inner products, and those.

    Best first; fewer than `k` when fewer are allowed. Of equal products the first rows are kept.
    Runs on one thread when faiss is so set in the calling thread.
    """
    k = min(k, int(np.count_nonzero(allowed)))
    rows = np.empty(k, np.int64)
    products = np.empty(k, np.float32)
    if k == 0:
        return rows, products
    visited, _memory = selector(allowed)
    count, dimension = vectors.shape
    faiss.knn_inner_product(
        faiss.swig_ptr(query),
        faiss.swig_ptr(vectors),
        dimension,
        1,
        count,
        k,
        faiss.swig_ptr(products),
        faiss.swig_ptr(rows),
        visited,
    )
    return rows, products


def inner_products(vectors: Vectors, query: Vectors, rows: Rows) -> Vectors:
    """The inner products of `query` with some rows, to the last bit as `nearest` has them."""
    products = np.empty(len(rows), np.float32)
    if len(rows):
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(products),
            faiss.swig_ptr(query),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(np.ascontiguousarray(rows)),
            vectors.shape[1],
            1,
            len(rows),
        )
    return products
