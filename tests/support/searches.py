"""Searches for texts, as clients ask for them and as gateways tell of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from calls import MODEL, Stubs, array, text

from triptych import seed_pool
from triptych.v1 import embedding_pb2, media_pb2, model_pb2
from triptych.v1.mils_pb2 import (
    Limits,
    Proposal,
    ScoredText,
    Seeds,
    SolveRequest,
    SolveResponse,
    SolveResult,
    SolveStep,
    Target,
    TargetTerm,
)

POOL = "scenes"
SEED_TEXTS = ("a small red circle", "a large blue star in the middle center", "a photo")


@dataclass(frozen=True)
class Solved:
    """The events of one call."""

    steps: Sequence[SolveStep]
    result: SolveResult

    @property
    def bests(self) -> list[float]:
        """The best score after each step that has one."""
        return [step.best.score for step in self.steps if step.HasField("best")]

    @property
    def course(self) -> list[SolveStep | SolveResult]:
        """All that equal requests have in common: everything but timing and what was encoded, which
        depends on what is known from other calls."""
        events: list[SolveStep | SolveResult] = []
        for event in (*self.steps, self.result):
            copy = type(event)()
            copy.CopyFrom(event)
            copy.ClearField("timing")
            copy.spending.ClearField("encoded_texts")
            copy.spending.ClearField("known_texts")
            events.append(copy)
        return events


def solved(responses: Iterable[SolveResponse]) -> Solved:
    """Read a stream to its end."""
    *steps, last = responses
    assert all(each.WhichOneof("event") == "step" for each in steps)
    assert last.WhichOneof("event") == "result"
    return Solved([each.step for each in steps], last.result)


def request(*contents: media_pb2.Content, **fields: Any) -> SolveRequest:
    """A short search for what fits contents, each a target: two steps of eight candidates, from
    three texts, by the seed 1."""
    short = {
        "targets": [target(content) for content in contents],
        "seeds": Seeds(texts=SEED_TEXTS),
        "proposal": Proposal(candidates=8),
        "limits": Limits(max_steps=2),
        "seed": 1,
    }
    return SolveRequest(**(short | fields))


def target(
    *contents: media_pb2.Content | media_pb2.Vector, weights: Sequence[float] = ()
) -> Target:
    """The sum of contents and vectors."""
    terms = [
        TargetTerm(vector=each) if isinstance(each, media_pb2.Vector) else TargetTerm(content=each)
        for each in contents
    ]
    for term, weight in zip(terms, weights, strict=False):
        term.weight = weight
    return Target(terms=terms)


def texts(candidates: Iterable[ScoredText]) -> list[str]:
    return [candidate.text for candidate in candidates]


def embedded(stubs: Stubs, contents: Sequence[media_pb2.Content]) -> np.ndarray:
    """The vectors `[N, D]` of contents."""
    answer = stubs.embedding.Embed(embedding_pb2.EmbedRequest(contents=contents, model=MODEL))
    return np.stack([array(result.embedding.vector) for result in answer.results])


def write_pool(stubs: Stubs, folder: Path, captions: Sequence[str], *, space: str = "") -> None:
    """Write a pool with the vectors of the gateway, by default of their space."""
    found = stubs.model.GetModel(model_pb2.GetModelRequest(name=MODEL)).model
    vectors = embedded(stubs, [text(caption) for caption in captions])
    seed_pool.write(folder, captions, enumerate(vectors), space=space or found.space, model=MODEL)
