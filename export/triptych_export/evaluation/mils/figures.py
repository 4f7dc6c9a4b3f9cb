"""All figures of the loop, and of what is done without it, on the same scenes in the same run."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych import Client, Seeds, SolvePolicy
from triptych.pool_building import Built, build
from triptych_export.evaluation.mils import captions
from triptych_export.evaluation.mils.outcomes import SearchFigures, figures_of
from triptych_export.evaluation.mils.perfect import solve_perfectly
from triptych_export.evaluation.mils.ways import Budget, Ways
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.evalset import RetrievalSet, retrieval_set
from triptych_export.miniworld.measures import attribute_f1, exact
from triptych_server.capabilities.mils.limits import Limits


@dataclass(frozen=True, slots=True)
class CaptionFigures:
    """Of captions that were not searched for."""

    attribute_f1: float
    exact: float


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """The seed pool, and what it took to build it."""

    captions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MilsFigures:
    """`mils` is the loop from the seed pool alone; the others are beside it.

    `perfect_scorer` is the loop from the same seeds where no scorer errs, `best_of_pool` what it
    begins with, `random` as many captions drawn blindly, `published` the published loop's policy
    with the same budget. `seeded` begins with BLIP-2's caption alone, which by itself is `caption`.
    `encoded_share` is what `mils` encodes of the texts that `published` does.
    """

    scenes: int
    pool: PoolFigures
    mils: SearchFigures
    perfect_scorer: SearchFigures
    best_of_pool: SearchFigures
    random: SearchFigures
    published: SearchFigures
    seeded: SearchFigures
    caption: CaptionFigures
    encoded_share: float

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def evaluate_mils(
    client: Client,
    pools: Path,
    *,
    scenes: int = 200,
    pool_size: int = 30_000,
    budget: Budget | None = None,
    policy: SolvePolicy = SolvePolicy.TRIPTYCH,
    repository: Path | None = None,
    progress: Progress = silent,
) -> MilsFigures:
    """Search the captions of so many unseen scenes in all these ways.

    The gateway of `client` reads its seed pools from `pools`, where one is written for the while.
    The proposer of `repository`, None being the shipped one, writes for the perfect scorer, in this
    process. `policy` is that of `mils`.
    """
    budget = budget or Budget()
    drawn = retrieval_set(scenes)
    with _pool(client, pools, pool_size, drawn, progress) as (name, built):
        ways = Ways(client, drawn, Seeds(pool=name), budget, progress)
        mils = None if policy is SolvePolicy.PUBLISHED else ways.from_pool()
        published = ways.published()
        best_of_pool = ways.best_of_pool()
    perfect = solve_perfectly(
        drawn.scenes,
        [outcome.seeds for outcome in best_of_pool],
        Limits(budget.max_steps, budget.patience, budget.evaluations),
        budget.candidates,
        repository=repository,
        advance=progress("a perfect scorer", scenes),
    )
    texts = ways.captions()
    figures = {
        name: figures_of(outcomes, drawn.scenes)
        for name, outcomes in {
            "mils": mils or published,
            "perfect_scorer": perfect,
            "best_of_pool": best_of_pool,
            "random": ways.blindly(),
            "published": published,
            "seeded": ways.from_captions(),
        }.items()
    }
    return MilsFigures(
        scenes=scenes,
        pool=PoolFigures(built.pool.count, built.seconds),
        caption=CaptionFigures(attribute_f1(texts, drawn.scenes), exact(texts, drawn.scenes)),
        encoded_share=figures["mils"].encoded_texts / figures["published"].encoded_texts,
        **figures,
    )


@contextmanager
def _pool(
    client: Client, pools: Path, size: int, drawn: RetrievalSet, progress: Progress
) -> Iterator[tuple[str, Built]]:
    """The name of a pool without the truths, for a while, and what building it took."""
    name = f"eval-{secrets.token_hex(8)}"
    advance = progress("building the seed pool", size)
    try:
        texts = captions.seed_pool(size, drawn.scenes)
        yield name, build(client, pools / name, texts, progress=lambda done: advance())
    finally:
        shutil.rmtree(pools / name, ignore_errors=True)
