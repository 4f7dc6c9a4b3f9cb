"""The remote engine: one or more Tritons that serve the model repository, through their gRPC API.

Triton batches and checks tensors against config.pbtxt; this engine translates, and sends requests
in an order that can be batched (`turnstile`). gRPC balances and retries them (`channels`), among
the Tritons that serve the weights in question (`placement`).
"""

import asyncio
import time
from typing import Any

import grpc

from triptych_server import deadline
from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.errors import Unserved, translated
from triptych_server.engines.encoders.triton.messages import InferRequest, outputs
from triptych_server.engines.encoders.triton.placement import Placement
from triptych_server.engines.encoders.triton.placements import Placements
from triptych_server.engines.encoders.triton.replicas import Replicas
from triptych_server.engines.encoders.triton.statistics import Statistics
from triptych_server.engines.encoders.triton.turnstile import Turnstile
from triptych_server.errors import DeadlineExceeded, NotFound, TriptychError


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
        self._placements = Placements(self._replicas, self._channels)
        self._statistics = Statistics(self._replicas.statistics)
        self._turnstiles: dict[str, Turnstile] = {}

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        turnstile = self._turnstile(await self._placements.of(encoder))
        request = InferRequest(inputs)
        shape = tuple(tuple(array.shape[1:]) for array in inputs.values())
        rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        asked_ns = time.monotonic_ns()
        async with turnstile.passage(shape, rows):
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
        return self._placements.spec(encoder) or (await self._placements.of(encoder)).spec

    async def ready(self, encoder: str) -> None:
        """Return if one Triton at least can serve it. Reads its specs again."""
        await self._placements.of(encoder, read_after=time.monotonic())

    async def encoders(self) -> list[str]:
        """Triton tells the role of loaded models only; one never seen loaded is left out. Reads the
        specs of all again."""
        listing, complete = await self._replicas.listing()
        now = time.monotonic()
        outcomes = await asyncio.gather(
            *(self._placements.of(name, read_after=now) for name in listing.loaded),
            return_exceptions=True,
        )
        encoders = set()
        for name, outcome in zip(listing.loaded, outcomes, strict=True):
            if not isinstance(outcome, (Placement, TriptychError)):
                raise outcome
            if not isinstance(outcome, NotFound):
                encoders.add(name)
        known = self._placements.served()
        return sorted(encoders | (known & listing.models if complete else known))

    async def close(self) -> None:
        await self._statistics.close()
        await self._channels.close()

    async def _compute(self, encoder: str, request: InferRequest) -> Any:
        placement = await self._placements.of(encoder)
        try:
            return await self._send(placement, request)
        except Unserved:
            now = await self._placements.of(encoder)
            if now == placement:  # nobody else has noticed yet
                now = await self._placements.of(encoder, read_after=time.monotonic())
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

    def _turnstile(self, placement: Placement) -> Turnstile:
        """The way to an encoder, as wide as its Tritons are now."""
        # Twice as many runs as instances: while one is computed the next is on its way.
        runs, run_rows = 2 * placement.instances, placement.batch_rows
        turnstile = self._turnstiles.get(placement.spec.name)
        if turnstile is None:
            turnstile = Turnstile(runs=runs, run_rows=run_rows, waiting_rows=self._queue_rows)
            self._turnstiles[placement.spec.name] = turnstile
        turnstile.resize(runs=runs, run_rows=run_rows)
        return turnstile
