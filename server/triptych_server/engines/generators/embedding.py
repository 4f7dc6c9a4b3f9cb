"""The table of a generator's token embeddings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.spec import FolderSpec, SpecError, asset_path

Floats = npt.NDArray[np.float32]


class EmbeddingTable:
    """`[vocabulary, H]` in the folder of `spec`, mapped into memory. Safe to use from many threads.

    Raises `SpecError` when the file is not that of `spec`.
    """

    def __init__(self, folder: Path, spec: FolderSpec) -> None:
        # As a plain array: a slice of a `memmap` takes many times as long.
        self._table = np.asarray(np.load(asset_path(folder, spec.embedding), mmap_mode="r"))
        shape = (spec.vocabulary, spec.hidden_size)
        if self._table.shape != shape:
            raise SpecError(f"{spec.name}/{spec.embedding.file}: it is no table of {shape}")

    def rows(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> Floats:
        """Token embeddings `[n, H]` float32. Raises `ValueError` for an unknown id."""
        rows = np.asarray(ids, np.int64)
        if rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < len(self._table)):
            raise ValueError(f"token ids are a list of numbers below {len(self._table)}")
        embeddings: Floats = self._table[rows].astype(np.float32)
        return embeddings
