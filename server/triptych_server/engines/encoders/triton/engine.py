"""The remote engine: one or more Tritons that serve the model repository, through their gRPC API.

Triton batches and checks tensors against config.pbtxt; this engine translates, and sends requests
in an order that can be batched. gRPC balances and retries them (`channels`), among the
Tritons that serve the weights in question (`placement`).
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import grpc

from triptych_server import deadline
from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.engines.encoders.triton.addresses import Address
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.errors import Unserved, translated
from triptych_server.engines.encoders.triton.messages import InferRequest, outputs
from triptych_server.engines.encoders.triton.placement import Placement, place
from triptych_server.engines.encoders.triton.replica import Unreadable
from triptych_server.engines.encoders.triton.replicas import Replicas
from triptych_server.engines.encoders.triton.statistics import Statistics
from triptych_server.engines.encoders.triton.turnstile import Turnstile
from triptych_server.errors import (
    DeadlineExceeded,
    NotFound,
    TriptychError,
    Unavailable,
)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Encoder:
    """What is known of one encoder. `placement` is None and `fault` says why while no Triton can
    serve it; `spec` outlasts that. `read_at` is when the last reading began."""

    turnstile: Turnstile
    spec: EncoderSpec | None = None
    placement: Placement | None = None
    fault: TriptychError | None = None
    read_at: float = float("-inf")
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class TritonEngine:
    """An `EncoderEngine` on the Tritons at `url`; create it on the loop that uses it.

    `url` is `HOST:PORT`, which stands for all addresses of the name, or `IP:PORT,IP:PORT`; anything
    else raises `ValueError`. At most `queue_rows` rows of an encoder wait to be sent, and an
    inference that takes longer than `timeout_s` makes Triton count as unavailable.

    Requests ask for exactly the version whose spec was read, of the Tritons that have it. When it
    is gone, or its Triton is lost or hangs, they are sent once more, as the specs are then. `ready`
    and `encoders`, which the gateway calls every second, notice a Triton that is back, and weights
    that were exchanged under the same version, which no answer tells. So give other weights another
    version.

    Triton tells nothing of single requests: `batch_size` is the mean of its recent batches (no
    less than the request's own rows) and `queue_ns` the time before sending and Triton's recent
    mean; `compute_ns` is the rest, with the way there and back. Before Triton's first statistics,
    a second after the first request, `batch_size` is 0 and `compute_ns` the whole round trip.
    """

    def __init__(self, url: str, *, queue_rows: int = 1024, timeout_s: float = 60.0) -> None:
        self._queue_rows = queue_rows
        self._timeout_s = timeout_s
        self._channels = Channels()
        self._replicas = Replicas(url, self._channels)
        self._statistics = Statistics(self._replicas.statistics)
        self._encoders: dict[str, _Encoder] = {}

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        await self._placement(encoder)
        request = InferRequest(inputs)
        shape = tuple(tuple(array.shape[1:]) for array in inputs.values())
        rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        asked_ns = time.monotonic_ns()
        async with self._encoders[encoder].turnstile.passage(shape, rows):
            sent_ns = time.monotonic_ns()
            response = await self._compute(encoder, request)
            finished_ns = time.monotonic_ns()
        means = self._statistics.means(encoder)
        out_ns = finished_ns - sent_ns
        waited_ns = min(round(means.queue_ns), out_ns) if means else 0
        return Inference(
            outputs=outputs(response),
            version=response.model_version,
            queue_ns=sent_ns - asked_ns + waited_ns,
            compute_ns=out_ns - waited_ns,
            batch_size=max(rows, round(means.batch_rows)) if means else 0,
        )

    async def spec(self, encoder: str) -> EncoderSpec:
        known = self._encoders.get(encoder)
        if known and known.spec:
            return known.spec
        return (await self._placement(encoder)).spec

    async def ready(self, encoder: str) -> None:
        """Return if one Triton at least can serve it. Reads its specs again."""
        await self._placement(encoder, read_after=time.monotonic())

    async def encoders(self) -> list[str]:
        """Triton tells the role of loaded models only; one never seen loaded is left out. Reads the
        specs of all again."""
        listing, complete = await self._replicas.listing()
        now = time.monotonic()
        outcomes = await asyncio.gather(
            *(self._placement(name, read_after=now) for name in listing.loaded),
            return_exceptions=True,
        )
        encoders = set()
        for name, outcome in zip(listing.loaded, outcomes, strict=True):
            if not isinstance(outcome, (Placement, TriptychError)):
                raise outcome
            if not isinstance(outcome, NotFound):
                encoders.add(name)
        known = {name for name, encoder in self._encoders.items() if encoder.spec}
        return sorted(encoders | (known & listing.models if complete else known))

    async def close(self) -> None:
        await self._statistics.close()
        await self._channels.close()

    async def _compute(self, encoder: str, request: InferRequest) -> Any:
        placement = await self._placement(encoder)
        try:
            return await self._send(placement, request)
        except Unserved:
            now = await self._placement(encoder)
            if now == placement:  # nobody else has noticed yet
                now = await self._placement(encoder, read_after=time.monotonic())
            if now == placement:
                raise
            return await self._send(now, request)

    async def _send(self, placement: Placement, request: InferRequest) -> Any:
        """One RPC, which gRPC may try several times. Raises `Unserved` when no Triton of the
        placement took it."""
        spec = placement.spec
        left = deadline.remaining()
        if left is not None and left <= 0:
            raise DeadlineExceeded
        timeout = self._timeout_s if left is None else min(left, self._timeout_s)
        try:
            encoded = request.encoded(spec.name, spec.version)
            return await self._channels.to(placement.addresses).infer(encoded, timeout)
        except grpc.RpcError as error:
            if timeout == left and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise DeadlineExceeded from error
            raise translated(error, ", ".join(placement.addresses)) from error

    async def _placement(self, name: str, read_after: float = float("-inf")) -> Placement:
        """Where requests go: as read last if that began after the moment `read_after` and found
        something, else as it is now. Calls at the same time share a reading."""
        encoder = self._encoders.get(name)
        if encoder is None:
            turnstile = Turnstile(runs=1, run_rows=1, waiting_rows=self._queue_rows)
            encoder = self._encoders[name] = _Encoder(turnstile)
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
            # Twice as many runs as instances: while one is computed the next is on its way.
            encoder.turnstile.resize(runs=2 * placement.instances, run_rows=placement.batch_rows)
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
