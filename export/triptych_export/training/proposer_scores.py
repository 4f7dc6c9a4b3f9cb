"""How well captions fit pictures, for thousands of searches at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw_all
from triptych_export.training.proposer_scenes import (
    KEYS,
    Keys,
    Rows,
    agreement,
    rows_of,
    scene_of,
)
from triptych_export.training.tokenizer import PAD

Floats = NDArray[np.float32]
# What texts are compared with, one row a search; each scorer has its own kind.
Aims = Floats | Rows
MODEL = "miniworld-clip"
_CHUNK = 512
_PICTURES = 64  # of one run of the encoder


class Scorer(Protocol):
    """Scores scenes against hidden ones."""

    def aim(self, truths: Rows, rng: np.random.Generator) -> Aims:
        """What the search of each hidden scene sees of it: ``truths`` are ``[B, 11]``."""

    def score(self, aims: Aims, keys: Keys) -> Floats:
        """Scores ``[B, N]`` of the scenes ``[B, N]``, or of the same ones ``[N]`` for all."""


class PerfectScorer:
    """The attribute F1 of a caption."""

    def aim(self, truths: Rows, rng: np.random.Generator) -> Aims:
        """The truth itself."""
        return truths

    def score(self, aims: Aims, keys: Keys) -> Floats:
        """Whole attributes, so that many captions have equal scores."""
        truths: Rows = aims.astype(np.int64)[:, None]
        rows = rows_of(keys if keys.ndim == 2 else keys[None])
        return agreement(rows, truths).astype(np.float32)


class ClipScorer:
    """The cosine that the miniature CLIP gives a caption and a picture, drawn afresh."""

    def __init__(self, repository: Path, table: Path) -> None:
        """``table`` is what ``write_table`` wrote of the same repository."""
        self._vectors: Floats = np.load(table, mmap_mode="r")
        self._image = _session(repository / f"{MODEL}-image", threads=1)

    def aim(self, truths: Rows, rng: np.random.Generator) -> Aims:
        """The features of a picture of each: ``[B, D]``."""
        pictures = draw_all([scene_of(row) for row in truths], rng)
        starts = range(0, len(pictures), _PICTURES)
        chunks = (pictures[start : start + _PICTURES] for start in starts)
        features: Floats = np.concatenate(
            [self._image.run(None, {"pixels": chunk})[0] for chunk in chunks]
        )
        return features

    def score(self, aims: Aims, keys: Keys) -> Floats:
        """The cosines."""
        if keys.ndim == 1:
            shared: Floats = aims @ self._vectors[keys].T
            return shared
        scores: Floats = np.einsum("bd,bnd->bn", aims, self._vectors[keys])
        return scores


class CaptionEncoder:
    """The text tower of the miniature CLIP in a model repository."""

    def __init__(self, repository: Path, threads: int) -> None:
        folder = repository / f"{MODEL}-text"
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        pad = self._tokenizer.token_to_id(PAD)
        self._tokenizer.enable_padding(pad_id=pad, pad_token=PAD)
        self._network = _session(folder, threads)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self._network.get_outputs()[0].shape[1])

    def encode(self, keys: Keys) -> Floats:
        """The vectors of the captions of scenes ``[N]``: ``[N, D]``, each of unit length."""
        tokens = self._tokenizer.encode_batch([caption(scene_of(row)) for row in rows_of(keys)])
        inputs = {
            "input_ids": np.array([one.ids for one in tokens], np.int64),
            "attention_mask": np.array([one.attention_mask for one in tokens], np.int64),
        }
        vectors: Floats = self._network.run(None, inputs)[0]
        return vectors


def write_table(repository: Path, path: Path, threads: int) -> None:
    """Write the vectors of the captions of all scenes, ``[KEYS, D] float32``, unless they are there
    and newer than the encoder."""
    network = repository / f"{MODEL}-text" / "1" / "model.onnx"
    if path.exists() and path.stat().st_mtime > network.stat().st_mtime:
        return
    encoder = CaptionEncoder(repository, threads)
    aside = path.with_suffix(".new")
    table = open_memmap(aside, mode="w+", dtype=np.float32, shape=(KEYS, encoder.width))
    for start in range(0, KEYS, _CHUNK):
        stop = min(KEYS, start + _CHUNK)
        table[start:stop] = encoder.encode(np.arange(start, stop))
    table.flush()
    os.replace(aside, path)


def _session(folder: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(folder / "1" / "model.onnx"), options)
