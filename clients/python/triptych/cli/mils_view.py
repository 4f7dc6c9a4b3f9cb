"""What a search has found and taken, for people."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from triptych.cli.output import print_table, printable
from triptych.cli.sparkline import sparkline
from triptych.mils import ScoredText, SolveResult, SolveStep, SolveStop, Spending

SHOWN = 10  # texts
SPARKLINE_WIDTH = 32
_STOPS = {
    SolveStop.STEPS: "all steps are done",
    SolveStop.PATIENCE: "nothing better came",
    SolveStop.EVALUATIONS: "all evaluations are spent",
    SolveStop.DEADLINE: "the deadline came first: this is the best so far",
    None: "it ended",
}


@contextmanager
def showing(quiet: bool) -> Iterator[Callable[[SolveStep], None]]:
    """What to tell each step: a table that changes at a terminal, else a line a step, and nothing
    when `quiet`."""
    console = Console(markup=False, highlight=False, emoji=False)
    if quiet:
        yield lambda step: None
    elif console.is_terminal and not console.is_dumb_terminal:
        view = View()
        with Live(view, console=console, transient=True):
            yield view.take
    else:
        yield _print_line


def print_result(result: SolveResult) -> None:
    """The best texts, and what they took."""
    texts = result.texts[:SHOWN]
    matched = any(text.matching_score is not None for text in texts)
    columns = ["matching"] * matched + ["score", "step", "text"]
    print_table(
        columns,
        [
            ([text.matching_score] if matched else []) + [text.score, text.step, text.text]
            for text in texts
        ],
    )
    typer.echo(f"{_STOPS[result.stop]}, after {_count(result.steps, 'step')}")
    typer.echo(f"{_spent(result.spending)}; {result.timing.total:.1f} s")


def print_best(best: ScoredText | None) -> None:
    """What is left of a search without a result."""
    if best is not None:
        print_table(["score", "step", "text"], [(best.score, best.step, best.text)])


class View:
    """What has been found so far; drawn anew several times a second, by a thread of rich's."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._steps: tuple[SolveStep, ...] = ()

    def take(self, step: SolveStep) -> None:
        self._steps = (*self._steps, step)

    def __rich__(self) -> Group:
        steps = self._steps
        table = Table("score", "step", box=None, pad_edge=False, expand=True)
        table.add_column("text", no_wrap=True, ratio=1)  # cut where it does not fit
        for text in _best(steps):
            table.add_row(f"{text.score:.4f}", str(text.step), printable(text.text))
        curve = [(step.spending.evaluations, step.best.score) for step in steps if step.best]
        head = Text(sparkline(curve, SPARKLINE_WIDTH), "green")
        head.append(f" step {steps[-1].step}" if steps else "the seeds are being scored", "default")
        spent = _spent(steps[-1].spending) + "; " if steps else ""
        return Group(head, f"{spent}{time.monotonic() - self._began:.1f} s", "", table)


def _best(steps: Sequence[SolveStep]) -> list[ScoredText]:
    """Of equal scores the earlier comes first."""
    texts: dict[str, ScoredText] = {}
    for step in steps:
        for candidate in step.candidates:
            texts.setdefault(candidate.text, candidate)
    return sorted(texts.values(), key=lambda text: -text.score)[:SHOWN]


def _print_line(step: SolveStep) -> None:
    best = "" if step.best is None else f"{step.best.score:.4f}  {printable(step.best.text)}"
    evaluations = step.spending.evaluations
    typer.echo(f"step {step.step:<3}  {evaluations:>6,} evaluated  {best}")


def _spent(spending: Spending) -> str:
    """As one line; what was not done is left out."""
    parts = [
        f"{spending.evaluations:,} evaluated",
        f"{spending.usage.completion_tokens:,} tokens written",
        f"{spending.encoded_texts:,} texts encoded",
    ]
    others = {
        "known": spending.known_texts,
        "seeds ranked": spending.ranked_seeds,
        "pairs matched": spending.matched_pairs,
        "duplicates": spending.duplicates + spending.near_duplicates,
        "not understood": spending.unparsed,
    }
    return ", ".join(parts + [f"{count:,} {what}" for what, count in others.items() if count])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
