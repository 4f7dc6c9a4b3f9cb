"""grpc.health.v1, kept true by asking the engines."""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Mapping

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.errors import TriptychError

PERIOD_S = 1.0

_log = logging.getLogger(__name__)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthMonitor:
    """Publishes per service, and for the server as a whole (""), whether it can do its work.

    `services` says of each which tasks it needs default models for. The server as a whole serves
    while the default models of the tasks in `required` do, and those of `optional` that it has.
    """

    def __init__(
        self,
        servicer: health_aio.HealthServicer,
        catalog: ModelCatalog,
        services: Mapping[str, Collection[Task]],
        required: Collection[Task],
        optional: Collection[Task] = (),
    ) -> None:
        self._servicer = servicer
        self._catalog = catalog
        self._services = services
        self._required = required
        self._optional = optional
        self._faults: dict[Task, str | None] = {}  # None when all is well
        self._logged: dict[Task, set[str]] = {}  # since all was well
        self._serving: dict[str, bool] = {}

    def serving(self) -> Mapping[str, bool]:
        """What was published last, from any thread."""
        return dict(self._serving)

    async def check(self) -> None:
        """Read the models again, ask the engines for them, and publish."""
        unread = await _fault_of(self._catalog.refresh())
        tasks = {*self._required, *self._optional}.union(*self._services.values())
        # Side by side: an engine that is slow to answer holds up no other's health.
        faults = await asyncio.gather(*(_fault_of(self._catalog.check(task)) for task in tasks))
        for task, found in zip(tasks, faults, strict=True):
            fault = unread or found
            if task not in self._faults or fault != self._faults[task]:
                self._tell(task, fault)
            self._faults[task] = fault
        for service, needed in self._services.items():
            await self._publish(service, needed)
        await self._publish("", self._whole())

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self.check()
            await asyncio.sleep(PERIOD_S)

    def _whole(self) -> list[Task]:
        """What the server as a whole needs."""
        had = [task for task in self._optional if not self._catalog.lacks(task)]
        return [*self._required, *had]

    async def _publish(self, service: str, needed: Collection[Task]) -> None:
        serves = all(self._faults[task] is None for task in needed)
        self._serving[service] = serves
        await self._servicer.set(service, _SERVING if serves else _NOT_SERVING)

    def _tell(self, task: Task, fault: str | None) -> None:
        """Log a change. A fault that takes turns with another, such as two ways of being silent, is
        told once."""
        logged = self._logged.setdefault(task, set())
        if fault is None:
            logged.clear()
        elif fault in logged:
            return
        else:
            logged.add(fault)
        bad = fault is not None and task in self._whole()
        level = logging.WARNING if bad else logging.INFO
        _log.log(level, "%s: %s", task, fault or "ready")


async def _fault_of(check: Awaitable[None]) -> str | None:
    """Why a check fails; None if it does not."""
    try:
        await check
    except TriptychError as error:
        return error.message
    except Exception as error:  # whatever it is, it must not end the watch
        _log.exception("the health check failed")
        return f"the health check failed: {error}"
    return None
