"""What one search does."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.capabilities.mils.candidates import Seed
from triptych_server.capabilities.mils.limits import Limits


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Where a search begins, how it goes on and where it ends.

    `seeds` are distinct as normalised texts; the `begin_with` best of them take part. A step asks
    for `candidates` texts; of two whose vectors have a cosine above `near_duplicate_cosine` the
    later one is not scored, and 1 makes only equal texts duplicates. All chance comes from `seed`,
    which is not negative. So many `finalists` are compared by the judge at the end.

    With `published` a step does as in the published loop: it scores its examples, the very best,
    again, and asks no further where what was asked for is no new text.
    """

    seeds: Sequence[Seed]
    begin_with: int
    candidates: int
    limits: Limits
    near_duplicate_cosine: float
    seed: int
    finalists: int = 0
    published: bool = False
