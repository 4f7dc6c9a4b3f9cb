"""The same graphs on ONNX Runtime, with nothing around them."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych_server.engines.encoders.onnx import session_options
from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository
from triptych_server.engines.encoders.spec import Role
from triptych_server.media.text import TextTokenizer

# isort: split
# Behind triptych_server, which keeps it from telling its makers of every model that it opens.
import onnxruntime as ort

TEXT = "a small striped red circle to the left of a large blue star on a white background"


@dataclass(frozen=True, slots=True)
class Layout:
    """So many sessions, each with so many threads, each fed batches of so many pictures."""

    sessions: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.sessions} x {self.threads} threads, batch {self.batch}"


LAYOUTS = [
    Layout(sessions, threads, batch)
    for sessions, threads in ((1, 4), (4, 1))
    for batch in (1, 4, 8)
]


def entry_of(repository: Path, role: Role) -> RepositoryEntry:
    """The first encoder of this role; raises `ValueError`."""
    for _, entry in read_repository(repository):
        if isinstance(entry, RepositoryEntry) and entry.spec.role is role:
            return entry
    raise ValueError(f"{repository} has no {role}")


def image_throughput(repository: Path, layout: Layout, seconds: float) -> float:
    """Pictures a second, each session in a loop on a thread of its own."""
    entry = entry_of(repository, Role.IMAGE)
    size = entry.spec.image
    assert size is not None
    shape = (layout.batch, size.height, size.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = layout.threads
    sessions = [ort.InferenceSession(entry.network, options) for _ in range(layout.sessions)]
    for session in sessions:
        session.run(None, {"pixels": pixels})
    counts = [0] * layout.sessions
    start = time.perf_counter()

    def work(position: int) -> None:
        while time.perf_counter() - start < seconds:
            sessions[position].run(None, {"pixels": pixels})
            counts[position] += layout.batch

    threads = [threading.Thread(target=work, args=(i,)) for i in range(layout.sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


class TextEncoder:
    """Text to features `[D]` float32: tokenising and a session with the gateway's own options."""

    def __init__(self, repository: Path) -> None:
        entry = entry_of(repository, Role.TEXT)
        assert entry.spec.text is not None
        self._tokenizer = TextTokenizer.read(repository, entry.spec.name, entry.spec.text)
        self._session = ort.InferenceSession(entry.network, session_options())

    def __call__(self, text: str) -> npt.NDArray[np.float32]:
        tokens = self._tokenizer.encode(text)
        inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        features: npt.NDArray[np.float32] = self._session.run(None, inputs)[0][0]
        return features


def text_latencies(encoder: TextEncoder, calls: int) -> list[float]:
    """Seconds of encoding one text."""
    latencies = []
    for _ in range(calls):
        start = time.perf_counter()
        encoder(TEXT)
        latencies.append(time.perf_counter() - start)
    return latencies
