"""The loop with a scorer that knows the truth: what the proposer could reach if no scorer erred.

It runs in this process, with the shipped proposer or that of other folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from triptych_export.evaluation.mils.outcomes import Outcome
from triptych_export.miniworld.measures import caption_items
from triptych_export.miniworld.world import Scene
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.candidates import Seed
from triptych_server.capabilities.mils.events import Step
from triptych_server.capabilities.mils.generator_proposer import GeneratorProposer
from triptych_server.capabilities.mils.limits import Limits
from triptych_server.capabilities.mils.loop import solve
from triptych_server.capabilities.mils.proposer import Proposer
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.capabilities.mils.search import Search
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.opening import catalog_of, open_encoders, open_generators
from triptych_server.settings import Settings

SIDE_BY_SIDE = 16
# As the service has them where a request does not say.
TEMPERATURE, MAX_TOKENS = 0.9, 64


class PerfectScorer:
    """Scores a caption by its attribute F1 against one scene. It embeds nothing."""

    embeds = False

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """No vectors."""
        return Embedded(None, ScoringCost())

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        """One F1 a text."""
        return Scores([self._f1(text) for text in texts], ScoringCost())

    def _f1(self, text: str) -> float:
        items = caption_items(text, self._scene)
        return 2 * items.right / (items.told + items.true)


def solve_perfectly(
    scenes: Sequence[Scene],
    seeds: Sequence[Sequence[str]],
    limits: Limits,
    candidates: int,
    *,
    repository: Path | None,
    advance: Callable[[], None],
) -> list[Outcome]:
    """Search the caption of each scene from its own seeds; ``repository`` None is the shipped."""

    async def search_all() -> list[Outcome]:
        async with AsyncExitStack() as resources:
            proposer = await _proposer(repository, resources)
            room = asyncio.Semaphore(SIDE_BY_SIDE)

            async def in_turn(number: int) -> Outcome:
                async with room:
                    given = [Seed(text) for text in seeds[number]]
                    search = Search(given, len(given), candidates, limits, 1.0, seed=number)
                    outcome = await _solved(search, proposer, PerfectScorer(scenes[number]))
                advance()
                return outcome

            return await asyncio.gather(*map(in_turn, range(len(scenes))))

    return asyncio.run(search_all())


async def _solved(search: Search, proposer: Proposer, scorer: PerfectScorer) -> Outcome:
    progress = []
    async with aclosing(solve(search, proposer, scorer, None, None)) as events:
        async for event in events:
            if isinstance(event, Step):
                score = event.best.score if event.best else 0.0
                progress.append((event.spending.evaluations, score))
    usage = event.spending.usage
    return Outcome(
        event.best.text if event.best else "",
        tuple(progress),
        steps=len(progress) - 1,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


async def _proposer(repository: Path | None, resources: AsyncExitStack) -> GeneratorProposer:
    settings = Settings.load(repository=repository)
    engine = await open_encoders(settings)
    resources.push_async_callback(engine.close)
    fleet = await open_generators(settings, resources)
    catalog = catalog_of(settings, engine, fleet, fleet.silent)
    await catalog.refresh()
    language = LanguageModel.named(catalog, "", Task.PROPOSE)
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=TEMPERATURE)
    return await GeneratorProposer.prepared(language, Generation(sampling, flexible=True))
