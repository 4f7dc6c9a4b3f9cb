from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.finalists import in_order


def order(*finalists: tuple[str, float, float]) -> str:
    ranked = [Candidate(text, score, 1, matching_score=match) for text, score, match in finalists]
    return "".join(each.text for each in in_order(ranked))


def test_a_match_comes_before_a_better_score() -> None:
    assert order(("a", 0.9, 0.2), ("b", 0.8, 0.99), ("c", 0.7, 0.5)) == "bca"


def test_matches_that_are_level_come_by_their_score() -> None:
    assert (
        order(("a", 0.9, 0.9995), ("b", 0.8, 1.0), ("c", 0.7, 0.9999), ("d", 0.6, 0.98)) == "abcd"
    )
    assert order(("a", 0.9, 0.1), ("b", 0.8, 0.9992), ("c", 0.7, 1.0)) == "bca"


def test_matching_scores_may_be_negative() -> None:
    assert order(("a", 0.9, -0.8), ("b", 0.8, -0.5)) == "ba"
