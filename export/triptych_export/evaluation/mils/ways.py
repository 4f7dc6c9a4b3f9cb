"""The ways in which captions are searched for, each on all scenes through one gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from triptych import (
    Client,
    Generation,
    Limits,
    Proposal,
    Scoring,
    Seeds,
    SolvePolicy,
    SolveStep,
    SolveStop,
)
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.mils.captions import blind_proposals
from triptych_export.evaluation.mils.outcomes import Outcome
from triptych_export.evaluation.miniworld.caption import MAX_TOKENS
from triptych_export.evaluation.progress import Progress
from triptych_export.miniworld.evalset import RetrievalSet

CONCURRENCY = 16  # searches at once
PUBLISHED_CONCURRENCY = 4  # of the published loop, which encodes the pool in each
# Of the published loop: steps, and texts that each asks for.
PUBLISHED_STEPS, PUBLISHED_CANDIDATES = 10, 50


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may spend on a picture, as `triptych.Limits` has it, and how it is spent.

    Captions that differ in one word alone have cosines above .95: the search would take them for
    near duplicates.
    """

    evaluations: int = 500
    max_steps: int = 40
    patience: int = 4
    candidates: int = 16
    finalists: int = 16
    near_duplicate_cosine: float = 0.97


@dataclass(frozen=True, slots=True)
class Ways:
    """Searches of all scenes that `drawn` has; `pool` names the seeds."""

    client: Client
    drawn: RetrievalSet
    pool: Seeds
    budget: Budget
    progress: Progress

    def from_pool(self) -> list[Outcome]:
        """The loop, from the seed pool alone."""
        return self._search("the loop", lambda _: self.pool, self._limits)

    def from_captions(self) -> list[Outcome]:
        """The loop, from a caption alone that a model wrote."""
        return self._search("from captions", lambda _: Seeds(caption=True), self._limits)

    def best_of_pool(self) -> list[Outcome]:
        """No step: the best that the seed pool has."""
        return self._search("best of the pool", lambda _: self.pool, Limits(max_steps=0))

    def blindly(self) -> list[Outcome]:
        """No step: the best of so many captions drawn without a look."""

        def drawn(number: int) -> Seeds:
            return Seeds(texts=blind_proposals(self.budget.evaluations, number))

        outcomes = self._search("blind proposals", drawn, Limits(max_steps=0))
        # They are seeds to the gateway, and proposals here.
        return [
            replace(outcome, progress=((self.budget.evaluations, outcome.progress[-1][1]),))
            for outcome in outcomes
        ]

    def published(self) -> list[Outcome]:
        """The published loop's policy, from the same pool with the same budget."""
        return self._search(
            "the published loop",
            lambda _: self.pool,
            Limits(max_steps=PUBLISHED_STEPS, max_evaluations=self.budget.evaluations),
            SolvePolicy.PUBLISHED,
        )

    def captions(self) -> list[str]:
        """No search: what a model writes, greedily."""
        generation = Generation(max_tokens=MAX_TOKENS)
        advance = self.progress("captions", len(self.drawn.scenes))
        return in_parallel(
            lambda picture: self.client.caption([picture], generation=generation).texts[0],
            self.drawn.pictures,
            advance=advance,
        )

    @property
    def _limits(self) -> Limits:
        budget = self.budget
        return Limits(budget.max_steps, budget.patience, budget.evaluations)

    def _search(
        self,
        name: str,
        seeds: Callable[[int], Seeds],
        limits: Limits,
        policy: SolvePolicy = SolvePolicy.TRIPTYCH,
    ) -> list[Outcome]:
        """Search the caption of each scene, several at once; its number is the seed of chance."""
        published = policy is SolvePolicy.PUBLISHED
        candidates = PUBLISHED_CANDIDATES if published else self.budget.candidates

        def solve(number: int) -> Outcome:
            events = self.client.solve(
                self.drawn.pictures[number],
                seeds=seeds(number),
                proposal=Proposal(candidates=candidates),
                scoring=Scoring(
                    finalists=self.budget.finalists,
                    near_duplicate_cosine=self.budget.near_duplicate_cosine,
                ),
                limits=limits,
                policy=policy,
                seed=number,
            )
            steps = [event for event in events if isinstance(event, SolveStep)]
            assert events.result is not None, "a search that ends has a result"
            if events.result.stop is SolveStop.DEADLINE:
                raise EvaluationError(f"{name}: a search did not end in time; take more --timeout")
            spending = events.result.spending
            return Outcome(
                text=events.result.text,
                progress=tuple(
                    (step.spending.evaluations, step.best.score) for step in steps if step.best
                ),
                seeds=tuple(candidate.text for candidate in steps[0].candidates),
                steps=events.result.steps,
                encoded_texts=spending.encoded_texts,
                known_texts=spending.known_texts,
                matched_pairs=spending.matched_pairs,
                prompt_tokens=spending.usage.prompt_tokens,
                completion_tokens=spending.usage.completion_tokens,
            )

        numbers = range(len(self.drawn.scenes))
        advance = self.progress(name, len(numbers))
        concurrency = PUBLISHED_CONCURRENCY if published else CONCURRENCY
        return in_parallel(solve, numbers, concurrency=concurrency, advance=advance)
