"""Where the requests of each encoder go, as the Tritons told last."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.engines.encoders.triton.addresses import Address
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.placement import Placement, place
from triptych_server.engines.encoders.triton.replica import Unreadable
from triptych_server.engines.encoders.triton.replicas import Replicas
from triptych_server.errors import NotFound, TriptychError, Unavailable

LONG_AGO = float("-inf")

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Encoder:
    """What is known of one encoder. `placement` is None and `fault` says why while no Triton can
    serve it; `spec` outlasts that. `read_at` is when the last reading began."""

    spec: EncoderSpec | None = None
    placement: Placement | None = None
    fault: TriptychError | None = None
    read_at: float = LONG_AGO
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Placements:
    """Reads from `replicas` what is asked for, and keeps `channels` for what was found."""

    def __init__(self, replicas: Replicas, channels: Channels) -> None:
        self._replicas = replicas
        self._channels = channels
        self._encoders: defaultdict[str, _Encoder] = defaultdict(_Encoder)

    def spec(self, name: str) -> EncoderSpec | None:
        """As it was when a Triton could serve the encoder; None if that was never."""
        known = self._encoders.get(name)
        return known.spec if known else None

    def served(self) -> set[str]:
        """The encoders that a Triton could serve at some time."""
        return {name for name, encoder in self._encoders.items() if encoder.spec}

    async def of(self, name: str, read_after: float = LONG_AGO) -> Placement:
        """As read last if that began after the moment `read_after` and found something, else as it
        is now. Calls at the same time share a reading. Raises `NotFound` and `Unavailable`."""
        encoder = self._encoders[name]
        if encoder.placement and encoder.read_at > read_after:
            return encoder.placement
        asked_at = time.monotonic()
        async with encoder.reading:
            since = read_after if encoder.placement else asked_at
            if encoder.read_at <= since:
                await self._read(name, encoder)
        if encoder.placement:
            return encoder.placement
        assert encoder.fault, "a reading finds a placement or a fault"
        raise type(encoder.fault)(encoder.fault.message, reason=encoder.fault.reason)

    async def _read(self, name: str, encoder: _Encoder) -> None:
        started_at = time.monotonic()
        try:
            offers = await self._replicas.offers(name)
        except (NotFound, Unavailable) as fault:
            encoder.placement, encoder.fault = None, fault
            if isinstance(fault, (NotFound, Unreadable)):
                encoder.spec = None
        else:
            placement = place(offers, encoder.spec)
            if placement != encoder.placement:
                _tell_who_is_left_out(placement, offers.keys())
            encoder.spec, encoder.placement, encoder.fault = placement.spec, placement, None
        encoder.read_at = started_at
        self._channels.keep(self._wanted())

    def _wanted(self) -> Collection[tuple[Address, ...]]:
        """The sets of Tritons that there are channels for."""
        placements = (encoder.placement for encoder in self._encoders.values())
        wanted = {placement.addresses for placement in placements if placement}
        return wanted.union((address,) for address in self._replicas.addresses)


def _tell_who_is_left_out(placement: Placement, able: Collection[Address]) -> None:
    spec, left_out = placement.spec, set(able).difference(placement.addresses)
    if left_out:
        _log.warning(
            "%s: requests ask for version %s; Triton at %s has other weights and is left out",
            spec.name,
            spec.version,
            ", ".join(sorted(left_out)),
        )
