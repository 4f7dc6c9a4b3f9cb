"""The demo's captions that were found by search, with no training: the MILS loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from queries import CROSS, PAIR, STAR, drawn

from triptych import Client, Scoring, Seeds, SolveResult, SolveStep
from triptych.contact_sheet import Section, Tile
from triptych.mils_plot import Curve, plot
from triptych_export.miniworld.world import COLOURS, SHAPES, SIZES

POOL = "demo"
CAPTIONS_A_SUBJECT = 16
FINALISTS = 8
OTHERS = 2  # captions shown beside the best
PICTURES = (STAR, PAIR, CROSS)


@dataclass(frozen=True, slots=True)
class Found:
    """The search for the caption of a picture; `label` is what was drawn."""

    label: str
    picture: bytes
    steps: Sequence[SolveStep]
    result: SolveResult

    @property
    def milliseconds(self) -> float:
        """What the whole search took."""
        return self.result.timing.total * 1000

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "picture": self.label,
            "found": self.result.text,
            "stop": self.result.stop,
            "steps": self.result.steps,
            "milliseconds": round(self.milliseconds, 2),
            "evaluations": self.result.spending.evaluations,
            "encoded_texts": self.result.spending.encoded_texts,
            "tokens": self.result.spending.usage.completion_tokens,
            "best": [
                [step.spending.evaluations, round(step.best.score, 4)]
                for step in self.steps
                if step.best
            ],
        }


def subjects(path: Path) -> Path:
    """A file of what the captions of the seed pool are about."""
    words = (" ".join(each) for each in product(SIZES, COLOURS, SHAPES))
    path.write_text("".join(f"{each}\n" for each in words))
    return path


def find(client: Client, *, matching: bool) -> list[Found]:
    """Captions of three drawn pictures, from the seed pool."""
    scoring = Scoring(finalists=FINALISTS if matching else 0)
    found = []
    for number, label in enumerate(PICTURES):
        picture = drawn(label)
        search = client.solve(picture, seeds=Seeds(pool=POOL), scoring=scoring, seed=number)
        steps = [event for event in search if isinstance(event, SolveStep)]
        assert search.result is not None, "a search that ends has a result"
        found.append(Found(label, picture, steps, search.result))
    return found


def section(found: Sequence[Found]) -> Section:
    """For the page: the curves, and below them the pictures with what was found."""
    spent = sum(each.result.spending.evaluations for each in found)
    took = sum(each.milliseconds for each in found)
    return Section(
        "Captions found by search, with no training",
        tuple(map(_tile, found)),
        note=f"a language model proposes, CLIP scores; {spent:,} proposals, {took:.0f} ms in all",
        plot=curves(found),
    )


def curves(found: Sequence[Found]) -> bytes:
    """The best score against evaluations, as a PNG file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "curves.png"
        plot([Curve.of(each.label, each.steps) for each in found], path)
        return path.read_bytes()


def _tile(found: Found) -> Tile:
    best, *others = found.result.texts
    return Tile(
        label=best.text,
        picture=found.picture,
        score=best.score,
        captions=tuple(each.text for each in others[:OTHERS]),
    )
