"""The gateway's metrics over HTTP, in Prometheus' text format."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class MetricsServer:
    """Serves a registry from threads of its own; `port` is the one that it listens on."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        """Starts at once. Raises `OSError` when the port is taken."""
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise OSError(f"cannot serve metrics on port {port} of {host}: {error}") from None
        self.port = self._server.server_port

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ServingCollector(Collector):
    """What health says, asked for at each scrape: `serving` tells of each service whether it
    serves, "" being the server as a whole."""

    def __init__(self, serving: Callable[[], Mapping[str, bool]]) -> None:
        self._serving = serving

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "triptych_serving",
            "1 while a service serves, 0 while not.",
            labels=["service"],
        )
        for service, serves in self._serving().items():
            family.add_metric([service or "all"], serves)
        yield family


def process_registry() -> CollectorRegistry:
    """A registry with what there is to say of the process: its memory, CPU and version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    version = Gauge("triptych_info", "The version that runs.", ["version"], registry=registry)
    version.labels(metadata.version("triptych")).set(1)
    return registry
