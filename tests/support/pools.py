"""Seed pools as folders."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SPACE = "clip:0123456789abcdef"


def describe(folder: Path, captions: bytes, vectors: np.ndarray, **changes: Any) -> None:
    """Write the pool.json of these, but for `changes`."""
    fields = {
        "space": SPACE,
        "model": "tiny",
        "dimension": vectors.shape[1],
        "count": vectors.shape[0],
        "captions_sha256": hashlib.sha256(captions).hexdigest(),
        "source": "tests",
    }
    (folder / "pool.json").write_text(json.dumps(fields | changes))


def write_pool(
    folder: Path, captions: Sequence[str], vectors: np.ndarray, *, space: str = SPACE
) -> Path:
    """A sound pool of these captions and unit vectors `[N, D]`; one that is there is exchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{caption}\n" for caption in captions).encode()
    drafts = folder / "captions.draft", folder / "vectors.draft.npy"
    drafts[0].write_bytes(lines)
    np.save(drafts[1], vectors)
    drafts[0].rename(folder / "captions.txt")
    drafts[1].rename(folder / "vectors.npy")
    describe(folder, lines, vectors, space=space)
    return folder
