"""All Tritons of one engine."""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import TypeVar

from triptych_server.engines.encoders.triton.addresses import Address, Addresses
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.errors import Unserved
from triptych_server.engines.encoders.triton.replica import Listing, Offer, Replica
from triptych_server.engines.encoders.triton.statistics import CountsByTriton
from triptych_server.errors import NotFound, TriptychError

T = TypeVar("T")


class Replicas:
    """The Tritons at the addresses that `url` stands for, as they are at each call. Raises
    `ValueError` as `Addresses`."""

    def __init__(self, url: str, channels: Channels) -> None:
        self._addresses = Addresses(url)
        self._channels = channels
        self._replicas: dict[Address, Replica] = {}

    @property
    def addresses(self) -> Collection[Address]:
        """Where they were when they were last asked."""
        return self._replicas.keys()

    async def offers(self, encoder: str) -> Mapping[Address, Sequence[Offer]]:
        """Of each Triton that can serve it. Raises `NotFound` and `Unavailable` if none can."""
        replicas = await self._current()
        offers, faults = await _sorted_out({r.address: r.offers(encoder) for r in replicas})
        if not offers:
            raise min(faults, key=_rank)
        return offers

    async def listing(self) -> tuple[Listing, bool]:
        """Of all Tritons that answer, and whether these are all. Raises `Unavailable` if none
        does."""
        replicas = await self._current()
        listings, faults = await _sorted_out({r.address: r.listing() for r in replicas})
        if not listings:
            raise faults[0]
        together = Listing(
            models=frozenset().union(*(each.models for each in listings.values())),
            loaded=frozenset().union(*(each.loaded for each in listings.values())),
        )
        return together, not faults

    async def statistics(self) -> CountsByTriton:
        """Of the Tritons that were asked for offers before; empty for one that does not tell."""
        replicas = list(self._replicas.values())
        answers = await asyncio.gather(*(replica.statistics() for replica in replicas))
        return {r.address: counts for r, counts in zip(replicas, answers, strict=True)}

    async def _current(self) -> Sequence[Replica]:
        addresses = await self._addresses.resolve()
        self._replicas = {
            address: self._replicas.get(address)
            or Replica(address, self._channels, expected=self._addresses.fixed)
            for address in addresses
        }
        return list(self._replicas.values())


def _rank(fault: TriptychError) -> int:
    """What says most comes first. One that does not answer may have what another lacks."""
    return 2 if isinstance(fault, NotFound) else 1 if isinstance(fault, Unserved) else 0


async def _sorted_out(
    asked: Mapping[Address, Coroutine[None, None, T]],
) -> tuple[dict[Address, T], list[TriptychError]]:
    """What each Triton answers, and what the others fail of."""
    answers: dict[Address, T] = {}
    faults: list[TriptychError] = []
    outcomes = await asyncio.gather(*asked.values(), return_exceptions=True)
    for address, outcome in zip(asked, outcomes, strict=True):
        if isinstance(outcome, TriptychError):
            faults.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers[address] = outcome
    return answers, faults
