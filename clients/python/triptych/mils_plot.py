"""Score against evaluations, as a picture. Needs the plot extra."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from triptych.mils import SolveStep

SUFFIXES = (".png", ".svg")
_WIDTH, _HEIGHT, _DPI = 7.0, 4.0, 150  # inches, and dots an inch


@dataclass(frozen=True, slots=True)
class Curve:
    """The course of a search: the `best` score after so many `evaluations`, both of one length.

    `candidates` are scores by themselves, each with the evaluations after its step.
    """

    label: str
    evaluations: Sequence[float]
    best: Sequence[float]
    candidates: Sequence[tuple[float, float]] = ()

    @classmethod
    def of(cls, label: str, steps: Sequence[SolveStep]) -> "Curve":
        """The course that the steps of a search tell."""
        found = [(step.spending.evaluations, step.best.score) for step in steps if step.best]
        return cls(
            label=label,
            evaluations=[evaluations for evaluations, _ in found],
            best=[score for _, score in found],
            candidates=[
                (step.spending.evaluations, candidate.score)
                for step in steps
                for candidate in step.candidates
            ],
        )


def check_path(path: Path) -> None:
    """Refuse what is neither PNG nor SVG, or in a folder that is not there; raises `ValueError`."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a plot is written as {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")


def plot(curves: Sequence[Curve], path: Path, title: str = "") -> None:
    """Draw curves into a PNG or SVG file: the best so far as a line of steps, candidates as dots.

    Equal curves give equal files. Raises as `check_path` does, and `OSError`.
    """
    check_path(path)
    # Labels are names, whatever characters they have.
    with rc_context({"svg.hashsalt": "triptych", "text.parse_math": False}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        lines = [_draw(axes, curve, f"C{number}") for number, curve in enumerate(curves)]
        axes.set_xlabel("evaluations")
        axes.set_ylabel("score")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        _name(axes, lines, [curve.label for curve in curves])
        suffix = path.suffix.lower()
        dated = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(path, format=suffix[1:], dpi=_DPI, metadata=dated)


def _draw(axes: Axes, curve: Curve, colour: str) -> Line2D:
    (line,) = axes.plot(
        curve.evaluations, curve.best, ".-", color=colour, drawstyle="steps-post", zorder=3
    )
    axes.plot(
        [evaluations for evaluations, _ in curve.candidates],
        [score for _, score in curve.candidates],
        ".",
        color=colour,
        alpha=0.35,
        markersize=4,
        markeredgewidth=0,
    )
    return line


def _name(axes: Axes, lines: Sequence[Line2D], labels: Sequence[str]) -> None:
    # A label that begins with an underscore would be left out if it were given at once.
    legend = axes.legend(lines, [str(number) for number in range(len(lines))], loc="lower right")
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)
