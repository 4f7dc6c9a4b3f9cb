"""Which version of an encoder requests ask for, and of which Tritons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.engines.encoders.triton.addresses import Address
from triptych_server.engines.encoders.triton.replica import Offer


@dataclass(frozen=True, slots=True)
class Placement:
    """One version of one set of weights, and the Tritons that have it.

    `instances` is how many batches one of them computes at once, and `batch_rows` the rows of a
    batch on each of them, together.
    """

    spec: EncoderSpec
    addresses: tuple[Address, ...]
    instances: int
    batch_rows: int


def place(
    offers: Mapping[Address, Sequence[Offer]], in_use: EncoderSpec | None = None
) -> Placement:
    """What most Tritons offer (at least one does); of equals the highest version, as Triton itself
    chooses, then what is `in_use`.

    The others are left out, so that all features are of one space while models are exchanged on
    one Triton after another.
    """
    found: dict[EncoderSpec, dict[Address, Offer]] = {}
    for address, offered in offers.items():
        for offer in offered:
            found.setdefault(offer.spec, {})[address] = offer
    spec, holders = max(
        found.items(), key=lambda item: (len(item[1]), int(item[0].version), item[0] == in_use)
    )
    return Placement(
        spec=spec,
        addresses=tuple(holders),
        instances=max(offer.instances for offer in holders.values()),
        batch_rows=sum(offer.batch_rows for offer in holders.values()),
    )
