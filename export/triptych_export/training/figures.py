"""Figures by language and name, as text."""

from __future__ import annotations

from collections.abc import Mapping

from triptych_export.miniworld.world import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def table(figures: Mapping[str, float]) -> str:
    """Figures named ``en/NAME`` and ``zh/NAME``: a row for each name, a column a language."""
    names = dict.fromkeys(name.split("/", 1)[1] for name in figures)
    rows = [f"{'':18}" + "".join(f"{language:>8}" for language in LANGUAGES)]
    for name in names:
        values = "".join(f"{figures[f'{language}/{name}']:8.3f}" for language in LANGUAGES)
        rows.append(f"{name:18}{values}")
    return "\n".join(rows)
