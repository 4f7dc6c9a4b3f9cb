"""A search small enough to know its answer: a hidden word, found by its letters."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import numpy as np

from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.mils.candidates import Candidate, Seed
from triptych_server.capabilities.mils.events import Result, Step
from triptych_server.capabilities.mils.limits import Limits
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.capabilities.mils.search import Search
from triptych_server.capabilities.timing import StageTimes

LETTERS = "abcdef"
WORD = "facade"
MILLISECOND = 1_000_000  # in nanoseconds


def one_hot(texts: Sequence[str]) -> Vectors:
    """`[N, D]`, unit length: the cosine of two texts is the share of letters that they have in
    common, each in its place."""
    letters = np.array([[LETTERS.index(letter) for letter in text] for text in texts])
    rows = np.eye(len(LETTERS), dtype=np.float32)[letters].reshape(len(texts), -1)
    unit: Vectors = rows / np.sqrt(np.float32(letters.shape[1]))
    return unit


@dataclass
class Log:
    """The calls of parts: the moment of the loop's clock, and what was asked for."""

    calls: list[tuple[float, str]] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.calls.append((asyncio.get_running_loop().time(), what))

    def count(self, what: str) -> int:
        return sum(name == what for _, name in self.calls)


@dataclass
class WordScorer:
    """The share of letters that are those of the word, each in its place. Each call takes
    `seconds`; without `embeds` it gives no vectors."""

    word: str = WORD
    embeds: bool = True
    seconds: float = 0.0
    log: Log = field(default_factory=Log)
    scored: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        self.log.add("embed")
        await asyncio.sleep(self.seconds)
        if not self.embeds:
            return Embedded(None, ScoringCost())
        known = sum(text in self._known for text in texts)
        self._known.update(texts)
        times = StageTimes(inference_ns=MILLISECOND)
        return Embedded(one_hot(texts), ScoringCost(len(texts) - known, known, times=times))

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        self.log.add("score")
        await asyncio.sleep(self.seconds)
        self.scored += texts
        if vectors is None:
            return Scores([self.value(text) for text in texts], ScoringCost())
        values = vectors @ one_hot([self.word])[0]
        return Scores([round(float(value), 6) for value in values], ScoringCost())

    def value(self, text: str) -> float:
        return sum(a == b for a, b in zip(text, self.word, strict=True)) / len(self.word)


@dataclass
class WordJudge(WordScorer):
    """Scores without vectors, and counts pairs."""

    embeds: bool = False

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(None, ScoringCost())

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        assert vectors is None
        scores = await super().score(texts, None)
        return Scores(scores.values, ScoringCost(matched_pairs=len(texts)))


@dataclass
class Mutator:
    """Writes words that mix two of the examples, with other letters here and there. Each call takes
    `seconds`."""

    length: int = len(WORD)
    examples: int = 6
    seconds: float = 0.0
    greedy: bool = False
    log: Log = field(default_factory=Log)
    shown: list[Sequence[Candidate]] = field(default_factory=list)
    heats: list[float] = field(default_factory=list)

    async def propose(
        self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
    ) -> Proposals:
        self.log.add("propose")
        self.shown.append(examples)
        self.heats.append(heat)
        await asyncio.sleep(self.seconds)
        random = np.random.default_rng(seed)
        texts = [self._word(examples, random, heat) for _ in range(count)]
        times = StageTimes(generation_ns=MILLISECOND)
        return Proposals(texts, usage=Usage(1, count), times=times)

    def _word(self, examples: Sequence[Candidate], random: np.random.Generator, heat: float) -> str:
        if not examples:
            return "".join(random.choice(list(LETTERS), self.length))
        parents = [examples[place].text for place in random.integers(len(examples), size=2)]
        letters = [parents[random.integers(2)][place] for place in range(self.length)]
        for place in np.flatnonzero(random.random(self.length) < 0.2 * heat):
            letters[place] = str(random.choice(list(LETTERS)))
        return "".join(letters)


@dataclass
class Parrot:
    """Replies the same whatever it is asked, and for how many."""

    texts: Sequence[str] = ()
    unparsed: int = 0
    examples: int = 6
    greedy: bool = False
    asked: list[tuple[int, Sequence[Candidate]]] = field(default_factory=list)

    async def propose(
        self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
    ) -> Proposals:
        self.asked.append((count, examples))
        return Proposals(self.texts, self.unparsed)


def search(
    *seeds: str,
    candidates: int = 8,
    begin_with: int = 64,
    steps: int = 50,
    patience: int | None = None,
    evaluations: int = 10_000,
    cosine: float = 0.95,
    seed: int = 0,
    published: bool = False,
    finalists: int = 0,
) -> Search:
    """A search from these words."""
    return Search(
        [Seed(text) for text in seeds],
        begin_with,
        candidates,
        Limits(steps, patience, evaluations),
        cosine,
        seed,
        finalists,
        published=published,
    )


async def events(
    solving: AsyncGenerator[Step | Result, None],
) -> tuple[list[Step], Result]:
    """All steps, and the result."""
    steps: list[Step] = []
    async for event in solving:
        if isinstance(event, Result):
            return steps, event
        steps.append(event)
    raise AssertionError("a search ended without a result")
