"""Telemetry: what RPCs did, in numbers for Prometheus.

The names and labels of `grpc_server_*` are those of the Prometheus libraries of other gRPC servers,
so that dashboards and alerts made for them serve here. All labels come from the protos and the
code, none from a caller.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from triptych.v1 import media_pb2, mils_pb2, vision_language_pb2
from triptych_server.errors import Code

METHOD = ("grpc_service", "grpc_method")
CODES = ("OK", "CANCELLED", *(code.name for code in Code))
# Seconds: an embedding takes milliseconds, a long text half a minute.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# What tells of the whole call, of responses that are streamed.
_LAST: Mapping[type, str] = {
    mils_pb2.SolveResponse: "result",
    vision_language_pb2.ChatResponse: "end",
}
STAGES = ("preprocess", "queue", "inference", "generation", "first_token")
# A caller whose deadline passes is gone a little before that passes here: gRPC tells it rounded up,
# by a hundredth at most, and begins to count when it is read. So it is taken for passed when so
# little of it remains.
_PASSED_SHARE = 0.05


class Telemetry:
    """Counts and times the RPCs of `services` (full names) into `registry`."""

    def __init__(self, registry: CollectorRegistry, services: Iterable[str]) -> None:
        self._started = Counter(
            "grpc_server_started", "RPCs that began.", METHOD, registry=registry
        )
        self._in_flight = Gauge(
            "grpc_server_in_flight", "RPCs that are running.", METHOD, registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled",
            "RPCs that ended, by code.",
            (*METHOD, "grpc_code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from the arrival of an RPC to its end.",
            METHOD,
            buckets=SECONDS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "triptych_stage_seconds",
            "Time that answers spent in a stage; see Timing in media.proto.",
            (*METHOD, "stage"),
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "triptych_batch_rows",
            "Rows of the largest batch that an answer was computed in.",
            METHOD,
            buckets=ROWS,
            registry=registry,
        )
        self._start_from_zero(services)

    @asynccontextmanager
    async def around(self, request: bytes | None, context: Any, method: str) -> AsyncIterator[None]:
        """To be the outermost: the code is known once errors have been mapped."""
        labels = _labels(method)
        started, allowed_s = time.monotonic(), context.time_remaining()
        self._started.labels(*labels).inc()
        self._in_flight.labels(*labels).inc()
        cancelled = False
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            cancelled = True
            raise
        finally:
            code = _broken_off(context, allowed_s) if cancelled else _code(context)
            self._in_flight.labels(*labels).dec()
            self._handled.labels(*labels, code).inc()
            self._seconds.labels(*labels).observe(time.monotonic() - started)

    def answered(self, method: str, response: Any) -> None:
        """Take the Timing of a response that has one."""
        timing = _timing(response)
        if timing is None:
            return
        labels = _labels(method)
        for stage in STAGES:
            # A stage that an answer did not go through takes no time; waiting may take none.
            duration: Duration = getattr(timing, stage)
            seconds = duration.seconds + duration.nanos / 1e9
            if seconds or (stage == "queue" and timing.batch_size):
                self._stage_seconds.labels(*labels, stage).observe(seconds)
        if timing.batch_size:
            self._batch_rows.labels(*labels).observe(timing.batch_size)

    def _start_from_zero(self, services: Iterable[str]) -> None:
        """The first event of a series is seen as growth only if the series was there before."""
        for service in services:
            for method in descriptor_pool.Default().FindServiceByName(service).methods:
                labels = (service, method.name)
                for metric in (self._started, self._in_flight, self._seconds):
                    metric.labels(*labels)
                for code in CODES:
                    self._handled.labels(*labels, code)


def _labels(method: str) -> tuple[str, str]:
    """`/triptych.v1.EmbeddingService/Embed` in two."""
    _, service, name = method.split("/")
    return service, name


def _code(context: Any) -> str:
    """The code that an RPC was aborted with; of others gRPC has none yet."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "OK"


def _broken_off(context: Any, allowed_s: float | None) -> str:
    """The code of an RPC whose caller is gone, or whose deadline has passed."""
    if allowed_s is None or context.time_remaining() > _PASSED_SHARE * allowed_s:
        return "CANCELLED"
    return "DEADLINE_EXCEEDED"


def _timing(response: Any) -> media_pb2.Timing | None:
    member = _LAST.get(type(response))
    holder = getattr(response, member) if member else response
    fields = holder.DESCRIPTOR.fields_by_name
    return holder.timing if "timing" in fields and holder.HasField("timing") else None
