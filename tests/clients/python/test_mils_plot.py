"""Score against evaluations, as a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych import ScoredText, SolveStep, Spending, Timing
from triptych.mils_plot import Curve, plot

CURVES = [
    Curve("first", [0, 10, 20], [0.2, 0.5, 0.6], [(10, 0.5), (10, 0.3)]),
    Curve("second", [0, 15], [0.1, 0.4]),
]


def test_the_curve_of_a_search_is_its_best_and_its_candidates() -> None:
    seed, found = ScoredText("a", 0.5, 0), ScoredText("b", 0.25, 1)
    steps = [
        SolveStep(0, None, (), Spending(), Timing()),
        SolveStep(1, seed, (seed, found), Spending(evaluations=7), Timing()),
    ]
    curve = Curve.of("a search", steps)
    assert (list(curve.evaluations), list(curve.best)) == ([7], [0.5])
    assert list(curve.candidates) == [(7, 0.5), (7, 0.25)]


def test_a_plot_has_a_colour_for_each_curve(tmp_path: Path) -> None:
    plot(CURVES, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for colour in ((31, 119, 180), (255, 127, 14)):
        assert (np.abs(pixels - colour).max(axis=-1) < 8).sum() > 500


def test_an_svg_has_the_labels_as_they_are(tmp_path: Path) -> None:
    labels = ["_hidden_", "$a_b", "<b> & 100%"]
    plot([Curve(label, [0, 1], [0, 1]) for label in labels], tmp_path / "a.SVG", "of $x")
    svg = (tmp_path / "a.SVG").read_text()
    assert svg.startswith("<?xml")
    for label in ("_hidden_", "$a_b", "&lt;b&gt; &amp; 100%", "of $x"):
        assert f"<!-- {label} -->" in svg


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_equal_curves_give_equal_files(tmp_path: Path, name: str) -> None:
    plot(CURVES, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    plot(CURVES, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_a_search_without_a_step_is_an_empty_plot(tmp_path: Path) -> None:
    plot([Curve.of("nothing", [])], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        plot(CURVES, tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="there is no folder"):
        plot(CURVES, tmp_path / "missing" / "a.png")
    assert not list(tmp_path.iterdir())
