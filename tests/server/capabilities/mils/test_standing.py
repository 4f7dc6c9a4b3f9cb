"""Everything that was scored, in order."""

from mils_parts import one_hot

from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.standing import Standing


def texts(candidates: list[Candidate]) -> list[str]:
    return [candidate.text for candidate in candidates]


def test_the_best_seeds_take_part_and_all_are_known() -> None:
    standing = Standing(1)
    standing.begin(["abc", "bcd", "cde"], [0.1, 0.3, 0.2], None, 2)
    assert texts(standing.ranked) == ["bcd", "cde"]
    assert standing.unknown(["ABC ", "def", "Def", "cde"]) == ["def"]
    assert standing.unknown(["def", "efg", "Def"]) == ["def", "efg"]


def test_of_equal_scores_the_earlier_one_is_better() -> None:
    standing = Standing(1)
    standing.begin(["a", "b"], [0.5, 0.5], None, 64)
    standing.add([Candidate("c", 0.5, 1), Candidate("d", 0.7, 1), Candidate("e", 0.7, 1)])
    assert texts(standing.ranked) == ["d", "e", "a", "b", "c"]


def test_of_seeds_that_say_the_same_only_the_best_is_an_example() -> None:
    seeds = ["aaaa", "aaab", "aabb", "ffff"]  # neighbours share three letters of four
    standing = Standing(0.7)
    standing.begin(seeds, [0.1, 0.4, 0.2, 0.3], one_hot(seeds), 64)
    assert texts(standing.ranked) == ["aaab", "ffff", "aabb", "aaaa"]
    assert texts(standing.examples) == ["aaab", "ffff"]


def test_seeds_that_take_no_part_still_make_near_duplicates() -> None:
    seeds = ["aaaa", "ffff"]
    standing = Standing(0.7)
    standing.begin(seeds, [0.1, 0.4], one_hot(seeds), 1)
    assert standing.neighbours.admit(one_hot(["aaab", "bbbb"])) == [1]
