"""Scores of captions, computed by hand where that can be done."""

from pathlib import Path

import pytest
from pycocoevalcap.spice import spice

from triptych_export.evaluation.coco.java import NO_JAVA, has_java
from triptych_export.evaluation.coco.scores import (
    NO_PARSER,
    CaptionScores,
    score_captions,
)
from triptych_export.evaluation.coco.tokenization import Tokenizer

CAPTION = "a red circle on white"
REFERENCES = ["a red square on white"]
OTHER = "some green hearts below it"


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def broken_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Java that tells its version and runs nothing."""
    program = tmp_path / "java"
    program.write_text('#!/bin/sh\n[ "$1" = -version ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_java")
def test_words_and_their_order() -> None:
    scores = score_captions([CAPTION, OTHER], [REFERENCES, [OTHER]])
    # 4 + 5 of 10 words, 2 + 4 of 8 pairs, 0 + 3 of 6 triples, 0 + 2 of 4 quadruples are right.
    assert scores.bleu_1 == pytest.approx(0.9)
    assert scores.bleu_2 == pytest.approx((0.9 * 0.75) ** (1 / 2))
    assert scores.bleu_3 == pytest.approx((0.9 * 0.75 * 0.5) ** (1 / 3))
    assert scores.bleu_4 == pytest.approx((0.9 * 0.75 * 0.5 * 0.5) ** (1 / 4))
    # The longest common subsequence has 4 of 5 words, both ways, and 5 of 5.
    assert scores.rouge_l == pytest.approx((0.8 + 1) / 2)


@pytest.mark.usefixtures("no_java")
def test_cider_is_ten_for_what_one_person_wrote_and_nothing_for_common_words() -> None:
    exact = score_captions([CAPTION, OTHER], [[CAPTION], [OTHER]])
    assert exact.cider == pytest.approx(10)
    swapped = score_captions([OTHER, CAPTION], [[CAPTION], [OTHER]])
    assert swapped.cider == 0
    same_for_all = score_captions([CAPTION, CAPTION], [[CAPTION], [CAPTION]])
    assert same_for_all.cider == 0


@pytest.mark.usefixtures("no_java")
def test_the_best_of_several_references_counts() -> None:
    alone = score_captions([CAPTION], [REFERENCES])
    together = score_captions([CAPTION], [[*REFERENCES, "A red circle, on white."]])
    assert together.rouge_l == pytest.approx(1)
    assert together.bleu_1 > alone.bleu_1


@pytest.mark.usefixtures("no_java")
def test_without_java_the_others_run_and_the_reason_is_told() -> None:
    scores = score_captions([CAPTION], [REFERENCES])
    assert scores.tokenizer is Tokenizer.APPROXIMATE
    assert (scores.meteor, scores.spice) == (None, None)
    assert scores.not_run == {"meteor": NO_JAVA, "spice": NO_JAVA}


@pytest.mark.usefixtures("broken_java")
def test_a_java_that_runs_nothing_stops_no_other_measure() -> None:
    scores = score_captions([CAPTION], [REFERENCES], Tokenizer.APPROXIMATE)
    assert scores.bleu_1 == pytest.approx(0.8)
    assert scores.meteor is None
    assert "failed" in scores.not_run["meteor"]


@pytest.fixture(scope="module")
def with_java() -> CaptionScores:
    """Of captions that are what people wrote, with the sign that METEOR divides sentences by."""
    if not has_java():
        pytest.skip("there is no Java")
    return score_captions([CAPTION, "a ||| circle"], [[CAPTION], ["a | circle", "some hearts"]])


def test_with_java_meteor_runs_on_stanfords_tokens(with_java: CaptionScores) -> None:
    assert with_java.meteor == pytest.approx(1)
    assert with_java.tokenizer is Tokenizer.PTB


@pytest.mark.skipif(
    any(Path(spice.__file__).parent.glob("lib/stanford-corenlp-*")),
    reason="SPICE's parser was downloaded",
)
def test_spice_does_not_run_where_its_parser_would_be_downloaded(with_java: CaptionScores) -> None:
    assert with_java.spice is None
    assert with_java.not_run == {"spice": NO_PARSER}
