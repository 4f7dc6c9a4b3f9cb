"""From the start of a gateway to its first correct Search, after kill -9.

Fills a collection of 50,000 x 512 vectors, kills the gateway with SIGKILL right after the last
acknowledgement, and times start and search, for a flat and for an HNSW index. The HNSW collection
is killed once more after its graph is on disk. Reported are the best and the worst of the starts.
"""

import itertools
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from parts import part_of
from rich.console import Console
from rich.table import Table

from triptych import Client, Index, IndexKind, Item
from triptych_export.pipeline import export_clip
from triptych_export.random_checkpoint import TINY, write_random_checkpoint
from triptych_server.launch import GatewayProcess

BUILD = Path("build/restart")
DIMENSION = 512
NEIGHBOURS = 10
COLLECTION = "vectors"
GRAPH_POLLS = 600  # of a second each
console = Console()


def main(
    items: Annotated[int, typer.Option(help="Items of the collection.")] = 50_000,
    starts: Annotated[int, typer.Option(help="Timed starts of each state.")] = 5,
) -> None:
    """Measure and print."""
    repository = small_repository()
    vectors = clustered(items)
    table = Table("index", "killed", "best s", "worst s", "recall@10")
    for kind in (IndexKind.FLAT, IndexKind.HNSW):
        data = BUILD / kind
        shutil.rmtree(data, ignore_errors=True)
        with console.status(f"{kind}: writing {items:,} items"), gateway(repository, data) as first:
            fill(first.target, kind, vectors)
            first.kill()
        report(table, kind, "after the last write", timed(repository, data, vectors, starts))
        if kind is IndexKind.HNSW:
            with console.status("building the graph"), gateway(repository, data) as second:
                await_graph(data)
                second.kill()
            report(table, kind, "with the graph on disk", timed(repository, data, vectors, starts))
    console.print(table)


def small_repository() -> Path:
    """Tiny encoders of `DIMENSION` components: this measures collections, not models."""
    repository = BUILD / "models"
    if not repository.exists():
        size = replace(TINY, projection=DIMENSION)
        with part_of(repository) as part:
            write_random_checkpoint("clip-vit-b32", BUILD / "tiny", size=size)
            export_clip(BUILD / "tiny", part)
    return repository


def clustered(count: int) -> npt.NDArray[np.float32]:
    """`[count, DIMENSION]` unit vectors around 256 centres, as embeddings lie."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(256, DIMENSION))
    noise = rng.normal(size=(count, DIMENSION))
    vectors = centres[rng.integers(0, 256, count)] + 0.7 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def gateway(repository: Path, data: Path) -> GatewayProcess:
    """A gateway of its own with these models and collections."""
    return GatewayProcess("--repository", repository, "--data", data, log=BUILD / "gateway.log")


def fill(target: str, kind: IndexKind, vectors: npt.NDArray[np.float32]) -> None:
    """Write all vectors and read every acknowledgement."""
    with Client(target) as client:
        client.collections.create(COLLECTION, index=Index(kind))
        items = (Item(str(i), vector=vector) for i, vector in enumerate(vectors))
        assert all(answer.error is None for answer in client.upsert(COLLECTION, items))


def await_graph(data: Path) -> None:
    """Return when the graph of the collection is on disk."""
    for _ in itertools.repeat(None, GRAPH_POLLS):
        if list(data.glob(f"collections/{COLLECTION}/segment-*/links.hnsw")):
            return
        time.sleep(1)
    raise RuntimeError("no graph was built")


def timed(
    repository: Path, data: Path, vectors: npt.NDArray[np.float32], starts: int
) -> Iterator[tuple[float, float]]:
    """Seconds from the start of a gateway to its first answer, and the recall of the answer; each
    gateway is killed in turn."""
    for start in range(starts):
        query = vectors[(start * 7919) % len(vectors)]
        expected = set(np.argsort(vectors @ query)[-NEIGHBOURS:].astype(str).tolist())
        began = time.perf_counter()
        with gateway(repository, data) as process:
            with Client(process.target) as client:
                hits = client.search(COLLECTION, query, limit=NEIGHBOURS)
            seconds = time.perf_counter() - began
            process.kill()
        yield seconds, len(expected & {hit.item.id for hit in hits}) / NEIGHBOURS


def report(
    table: Table, kind: IndexKind, killed: str, starts: Iterator[tuple[float, float]]
) -> None:
    """One row of the table."""
    seconds, recalls = zip(*starts, strict=True)
    recall = f"{np.mean(recalls):.2f}"
    table.add_row(kind, killed, f"{min(seconds):.2f}", f"{max(seconds):.2f}", recall)


if __name__ == "__main__":
    typer.run(main)
