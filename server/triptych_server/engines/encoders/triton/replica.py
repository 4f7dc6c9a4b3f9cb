"""One Triton, as it is asked what it serves."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2

from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.spec import EncoderSpec, spec_from_config
from triptych_server.engines.encoders.triton.addresses import Address
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.errors import (
    Unserved,
    first_line,
    not_found,
    unanswered,
)
from triptych_server.engines.encoders.triton.statistics import Counts, counts_by_model
from triptych_server.errors import TriptychError, Unavailable

ROLE = "triptych.role"
TIMEOUT_S = 5.0
LOST_TIMEOUT_S = 1.0  # one that did not answer last holds up the others no longer than this

_log = logging.getLogger(__name__)


class Unreadable(Unavailable):
    """The encoder's config.pbtxt is not one that Triptych can serve."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A version of an encoder that one Triton can run now, and what that Triton runs at once."""

    spec: EncoderSpec
    instances: int
    batch_rows: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of the models in a repository, and of those that are loaded."""

    models: frozenset[str]
    loaded: frozenset[str]


class Replica:
    """The Triton at `address`. That it stops answering is logged once, as is its return; one that
    is not `expected` to answer from the start is told of when it first does."""

    def __init__(self, address: Address, channels: Channels, *, expected: bool) -> None:
        self.address = address
        self._channels = channels
        self._answers = expected

    async def offers(self, encoder: str) -> Sequence[Offer]:
        """At least one version. Raises `NotFound` and `Unavailable`."""
        with self._noting():
            request = service_pb2.ModelMetadataRequest(name=encoder)
            metadata = await self._ask("ModelMetadata", request)
            versions = metadata.versions if metadata else ()
            offers = await asyncio.gather(*(self._offer(encoder, each) for each in versions))
            ready = [offer for offer in offers if offer]
            absence = None if ready else await self._absence(encoder)
        self._note(None)
        if absence:
            raise absence
        return ready

    async def listing(self) -> Listing:
        """Raises `Unavailable`."""
        with self._noting():
            entries = await self._index()
        return Listing(
            models=frozenset(entry.name for entry in entries),
            loaded=frozenset(entry.name for entry in entries if entry.state == "READY"),
        )

    async def statistics(self) -> Mapping[str, Counts]:
        """What was counted of each model since it was loaded; empty if it does not tell."""
        try:
            answer = await self._ask("ModelStatistics", service_pb2.ModelStatisticsRequest())
        except Unserved as fault:
            _log.debug("no statistics: %s", fault)
            return {}
        return counts_by_model(answer) if answer else {}

    async def _offer(self, encoder: str, version: str) -> Offer | None:
        """None while this version cannot serve."""
        named = {"name": encoder, "version": version}
        answer, readiness = await asyncio.gather(
            self._ask("ModelConfig", service_pb2.ModelConfigRequest(**named)),
            self._ask("ModelReady", service_pb2.ModelReadyRequest(**named)),
        )
        if not answer or not readiness:
            return None
        config = answer.config
        if ROLE not in config.parameters:
            raise not_found(encoder)
        try:
            spec = spec_from_config(config, version)
        except ConfigError as error:
            raise Unreadable(str(error), reason="ENCODER_NOT_LOADED") from None
        preferred = max(config.dynamic_batching.preferred_batch_size, default=0)
        instances = sum(max(g.count, 1) * max(len(g.gpus), 1) for g in config.instance_group)
        batch_rows = preferred or max(config.max_batch_size, 1)
        return Offer(spec, max(instances, 1), batch_rows) if readiness.ready else None

    async def _absence(self, encoder: str) -> TriptychError:
        """Why it does not serve `encoder`: the repository lacks it, or it is not loaded."""
        versions = [entry for entry in await self._index() if entry.name == encoder]
        if not versions:
            return not_found(encoder)
        entry = next((each for each in versions if each.state != "READY"), None)
        if entry is None:
            state, cause = "being exchanged, or Triton is shutting down", ""
        else:
            state, cause = entry.state.lower() or "not loaded", first_line(entry.reason)
        message = f"{encoder} is {state}{': ' if cause else ''}{cause}"
        return Unavailable(message, reason="ENCODER_NOT_LOADED")

    async def _index(self) -> Sequence[Any]:
        """One entry a version of each model in the repository, loaded or not."""
        answer = await self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        return list(answer.models) if answer else []

    async def _ask(self, rpc: str, request: Message) -> Any:
        """The answer to an RPC about models; None if it is that there is none. Raises `Unserved`
        for any other failure."""
        timeout_s = TIMEOUT_S if self._answers else LOST_TIMEOUT_S
        try:
            # For this RPC only: the client may be another next time.
            return await self._channels.to((self.address,)).ask(rpc, request, timeout_s)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise unanswered(error, self.address) from error

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note that it does not answer."""
        try:
            yield
        except Unserved as fault:
            self._note(fault.message)
            raise

    def _note(self, fault: str | None) -> None:
        """`fault` says why it does not answer; one that is shutting down answers some questions."""
        if self._answers and fault:
            _log.warning("%s", fault)
        elif not self._answers and not fault:
            _log.info("Triton at %s answers", self.address)
        self._answers = not fault
