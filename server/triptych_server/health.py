"""grpc.health.v1, kept true by asking the engines."""

import asyncio
import logging
from collections.abc import Mapping

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.errors import TriptychError

PERIOD_S = 1.0

_log = logging.getLogger(__name__)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthMonitor:
    """Publishes per service, and for the server as a whole (""), whether it can do its work.

    `needs_engine` says of each service whether it needs the default model's encoders.
    """

    def __init__(
        self,
        servicer: health_aio.HealthServicer,
        catalog: ModelCatalog,
        needs_engine: Mapping[str, bool],
    ) -> None:
        self._servicer = servicer
        self._catalog = catalog
        self._needs_engine = needs_engine
        self._fault: str | None = ""  # None when all is well; "" before the first check

    async def check(self) -> None:
        """Read the models again, ask the engine for them, and publish."""
        fault = await self._engine_fault()
        if fault != self._fault:
            _log.log(logging.WARNING if fault else logging.INFO, "engine: %s", fault or "ready")
        self._fault = fault
        engine = _SERVING if fault is None else _NOT_SERVING
        for service, needs_engine in self._needs_engine.items():
            await self._servicer.set(service, engine if needs_engine else _SERVING)
        await self._servicer.set("", engine)

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self.check()
            await asyncio.sleep(PERIOD_S)

    async def _engine_fault(self) -> str | None:
        try:
            await self._catalog.refresh()
            model = self._catalog.get("")
            for spec in model.specs:
                await self._catalog.check_ready(model, spec)
        except TriptychError as error:
            return error.message
        except Exception as error:  # whatever it is, it must not end the watch
            _log.exception("the health check failed")
            return f"the health check failed: {error}"
        return next(iter(self._catalog.unread.values()), None)
