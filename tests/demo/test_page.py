"""The demo's page, and the figures of its report."""

from pathlib import Path
from typing import Any

import pytest

from triptych import (
    Caption,
    FinishReason,
    ScoredText,
    SolveResult,
    SolveStep,
    SolveStop,
    Spending,
    Timing,
)
from triptych.contact_sheet import Turn

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The demo's `page` and `talk`."""
    monkeypatch.syspath_prepend(DEMO)
    import page
    import talk

    return page, talk


def caption(text: str, itm_score: float | None = None) -> Caption:
    return Caption(text, -1.0, 4, FinishReason.STOP, clip_score=0.5, itm_score=itm_score)


def test_the_page_shows_captions_questions_and_chats(modules: Any) -> None:
    page, talk = modules
    said = talk.Talk(
        described=[talk.Described("a", b"", [caption("a red star", 0.75), caption("一个星形")])],
        answered=[talk.Discussed("a", b"", [Turn("what is it?", "a star")])],
        discussed=[talk.Discussed("a", b"", [Turn("where is it?", "top left")])],
        milliseconds=(1, 2, 3),
    )
    html = page.page("title", [], said)
    for words in ("a red star", "一个星形", "match 0.750", "what is it?", "a star", "top left"):
        assert f">{words}<" in html
    assert said.summary()["chats"][0]["turns"] == [
        {"question": "where is it?", "answer": "top left"}
    ]


def test_a_page_of_searches_alone_has_no_sections_of_language(modules: Any) -> None:
    page, talk = modules
    assert "<section>" not in page.page("title", [], talk.Talk())


def test_pictures_without_scores_of_matching_say_nothing_of_it(modules: Any) -> None:
    page, talk = modules
    said = talk.Talk(described=[talk.Described("a", b"", [caption("a red star")])])
    assert ">match" not in page.page("title", [], said)


def test_the_page_shows_what_a_search_found_below_its_curve(modules: Any) -> None:
    page, talk = modules
    import found

    best, other = ScoredText("a red star", 0.75, 1), ScoredText("a red heart", 0.5, 0)
    step = SolveStep(1, best, (best,), Spending(evaluations=32), Timing())
    result = SolveResult(
        (best, other), SolveStop.STEPS, 1, best, step.spending, Timing(total=0.25), "", "", (), ""
    )
    searched = found.Found("drawn", b"", [step], result)
    html = page.page("title", [], talk.Talk(), [searched])
    for words in ("a red star", "a red heart", "0.750"):
        assert f">{words}<" in html
    assert "32 proposals, 250 ms in all" in html
    assert '<p class="plot"><img src="data:image/png;' in html
    assert searched.summary()["best"] == [[32, 0.75]]
