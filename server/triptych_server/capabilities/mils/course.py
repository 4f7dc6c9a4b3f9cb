"""A search under way."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from triptych_server.capabilities.mils.aside import aside
from triptych_server.capabilities.mils.candidates import Candidate, Seed
from triptych_server.capabilities.mils.events import Result, Spending, Step, Stop
from triptych_server.capabilities.mils.finalists import in_order
from triptych_server.capabilities.mils.gauge import Gauge
from triptych_server.capabilities.mils.ledger import Ledger
from triptych_server.capabilities.mils.proposer import Proposer
from triptych_server.capabilities.mils.scorer import Scorer, Vectors
from triptych_server.capabilities.mils.search import Search
from triptych_server.capabilities.mils.selection import best_of, varied
from triptych_server.capabilities.mils.standing import Standing

# A step asks once more, and again, for what was no new text: each time for more varied ones.
HEATS = (1.0, 1.4, 1.8)
TEXTS = 64  # of a result
MATCHES = 0.5  # the least probability of what is said to match


class Course:
    """Scores the seeds, then step by step what is proposed.

    `scored` is what was scored since the last report, in the order of proposal: of a step that was
    cancelled what its whole rounds have scored.
    """

    def __init__(self, search: Search, proposer: Proposer, scorer: Scorer) -> None:
        self.scored: Sequence[Candidate] = ()
        self._search = search
        self._proposer = proposer
        self._ledger = Ledger()
        self._gauge = Gauge(scorer, self._ledger)
        self._standing = Standing(search.near_duplicate_cosine)
        self._step = 0
        self._finalists: Sequence[Candidate] = ()
        self._matching: dict[str, float] = {}  # scores by the judge
        self._refused: Candidate | None = None
        self._shown: set[tuple[str, ...]] = set()  # to a greedy proposer

    async def begin(self) -> None:
        """Score the seeds."""
        seeds = self._search.seeds
        if not seeds:
            return
        texts = [seed.text for seed in seeds]
        vectors = await self._seed_vectors(seeds)
        scores = await self._gauge.score(texts, vectors)
        begin_with = self._search.begin_with
        work = self._standing.work(texts, vectors)
        await aside(work, self._standing.begin, texts, scores, vectors, begin_with)
        self.scored = tuple(self._standing.ranked)

    async def advance(self, idle: int) -> None:
        """Do one step, after so many that found nothing better."""
        self._step += 1
        self._finalists = ()
        self._ledger.open_step()
        left = self._search.limits.max_evaluations - self._ledger.spending.evaluations
        wanted = min(self._search.candidates, left)
        if self._search.published:
            await self._rescore()
            await self._round(0, wanted, HEATS[0], self._examples())
            return
        for number, heat in enumerate(HEATS):
            if missing := wanted - len(self.scored):
                shown = self._examples(number, breadth=idle + number if number else 0)
                await self._round(number, missing, heat, shown)

    def report(self) -> Step:
        """The current step."""
        scored, self.scored = self.scored, ()
        return Step(
            step=self._step,
            best=self._standing.best,
            candidates=sorted(scored, key=lambda each: -each.score),
            spending=self._ledger.spending,
            times=self._ledger.step_times,
        )

    async def compare(self, judge: Scorer) -> None:
        """Score the best once more, by the judge: those that it has not scored yet. If it says that
        none matches, the very best is shown no more: it led there."""
        finalists = self._standing.ranked[: self._search.finalists]
        if new := [each.text for each in finalists if each.text not in self._matching]:
            values = await Gauge(judge, self._ledger).measure(new)
            self._matching.update(zip(new, values, strict=True))
        judged = [replace(each, matching_score=self._matching[each.text]) for each in finalists]
        self._finalists = in_order(judged)
        if self.doubtful:
            self._refused = self._standing.best

    @property
    def doubtful(self) -> bool:
        """There are finalists, and the judge says that none matches."""
        scores = [each.matching_score or 0.0 for each in self._finalists]
        return max(scores, default=MATCHES) < MATCHES

    def result(self, stop: Stop, last: Step) -> Result:
        """What `last`, the last reported step, and the comparison of finalists led to."""
        others = self._standing.ranked[len(self._finalists) :][:TEXTS]
        return Result(
            texts=[*self._finalists, *others][:TEXTS],
            stop=stop,
            steps=last.step,
            best=last.best,
            spending=self._ledger.spending,
            times=self._ledger.times,
        )

    async def _seed_vectors(self, seeds: Sequence[Seed]) -> Vectors | None:
        """`[N, D]`: the known ones, and those of the other seeds, embedded."""
        missing = [seed.text for seed in seeds if seed.vector is None]
        embedded = await self._gauge.embed(missing) if missing else None
        if missing and embedded is None:
            return None
        if len(missing) == len(seeds):
            return embedded
        dimension = next(seed.vector.size for seed in seeds if seed.vector is not None)
        return await aside(len(seeds) * dimension, _merged, seeds, embedded)

    async def _rescore(self) -> None:
        """Pay for the scores of survivors, which are known, as the published loop does."""
        survivors = self._examples()
        if survivors:
            await self._gauge.measure([each.text for each in survivors])

    async def _round(
        self, number: int, count: int, heat: float, examples: Sequence[Candidate]
    ) -> None:
        """Ask for texts once, and score those that are new."""
        if self._knows_reply(examples):
            return
        reply = await self._proposer.propose(
            examples, count, seed=self._state(number)[0], heat=heat
        )
        self._ledger.enter(Spending(unparsed=reply.unparsed, usage=reply.usage), reply.times)
        texts = reply.texts[:count]
        unknown = self._standing.unknown(texts)
        self._ledger.enter(Spending(duplicates=len(texts) - len(unknown)))
        if unknown:
            await self._score(unknown)

    def _knows_reply(self, examples: Sequence[Candidate]) -> bool:
        """Whether a greedy proposer was shown these before, and would reply as it did."""
        if not self._proposer.greedy:
            return False
        texts = tuple(each.text for each in examples)
        known = texts in self._shown
        self._shown.add(texts)
        return known

    async def _score(self, texts: Sequence[str]) -> None:
        """Score texts, except near duplicates."""
        vectors = await self._gauge.embed(texts)
        if vectors is not None:
            neighbours = self._standing.neighbours
            new = await aside(neighbours.work(vectors), neighbours.admit, vectors)
            self._ledger.enter(Spending(near_duplicates=len(texts) - len(new)))
            texts, vectors = [texts[place] for place in new], vectors[new]
        if not texts:
            return
        scores = await self._gauge.score(texts, vectors)
        candidates = [
            Candidate(text, score, self._step) for text, score in zip(texts, scores, strict=True)
        ]
        self._standing.add(candidates)
        self._ledger.enter(Spending(evaluations=len(candidates)))
        self.scored = [*self.scored, *candidates]

    def _examples(self, number: int = 0, breadth: int = 0) -> list[Candidate]:
        """What a round shows, worst first: the very best, or the best and others of a choice that
        doubles with each `breadth`."""
        ranked = [each for each in self._standing.examples if each is not self._refused]
        count = self._proposer.examples
        if not breadth:
            return best_of(ranked, count)
        choice = ranked[: count << breadth]
        return varied(choice, count, np.random.default_rng(self._state(number)))

    def _state(self, number: int) -> Sequence[int]:
        """Random numbers of a round, below 2**32."""
        entropy = [self._search.seed, self._step, number]
        words: list[int] = np.random.SeedSequence(entropy).generate_state(4).tolist()
        return words


def _merged(seeds: Sequence[Seed], embedded: Vectors | None) -> Vectors:
    """`[N, D]` of the known vectors, and the embedded ones where none is known."""
    others = iter(() if embedded is None else embedded)
    return np.stack([next(others) if seed.vector is None else seed.vector for seed in seeds])
