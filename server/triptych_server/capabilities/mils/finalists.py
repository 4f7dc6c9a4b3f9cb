"""The order of the texts that were compared at the end."""

from collections.abc import Sequence

from triptych_server.capabilities.mils.candidates import Candidate

# Networks that compare pairs saturate: matching scores this close to the highest say the same.
LEVEL = 0.001


def in_order(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Finalists, which come by their score, those level with the highest matching score before the
    others, and the others by their matching score."""
    matching = [each.matching_score or 0.0 for each in ranked]
    least = max(matching, default=0.0) - LEVEL
    level = [each for each, score in zip(ranked, matching, strict=True) if score >= least]
    others = [each for each, score in zip(ranked, matching, strict=True) if score < least]
    return [*level, *sorted(others, key=lambda each: -(each.matching_score or 0.0))]
