"""Curves in one line of text."""

from triptych.cli.sparkline import sparkline


def test_values_are_held_until_the_next() -> None:
    assert sparkline([(0, 0), (5, 0.5), (10, 1)], 11) == "▁▁▁▁▁▅▅▅▅▅█"


def test_places_are_spread_as_they_are() -> None:
    assert sparkline([(0, 0), (9, 7)], 4) == "▁▁▁█"
    assert sparkline([(100, 0), (101, 7), (109, 0)], 10) == "▁████████▁"


def test_the_lowest_and_the_highest_fill_the_height() -> None:
    assert sparkline([(0, 0.8), (1, 0.83), (2, 0.87)], 3) == "▁▄█"


def test_a_level_line_is_low() -> None:
    assert sparkline([(0, 0.5), (10, 0.5)], 4) == "▁▁▁▁"


def test_what_does_not_extend_is_one_block() -> None:
    assert sparkline([], 8) == ""
    assert sparkline([(0, 0.5)], 8) == "▁"
    assert sparkline([(3, 0), (3, 1)], 8) == "█"
