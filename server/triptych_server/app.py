"""The gateway: builds everything once, serves, drains."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from importlib import metadata

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from triptych.v1 import (
    embedding_pb2_grpc,
    mils_pb2_grpc,
    model_pb2_grpc,
    search_pb2_grpc,
    vision_language_pb2_grpc,
)
from triptych_server.address import address
from triptych_server.capabilities.answering import Answerer
from triptych_server.capabilities.caption_scores import CaptionScorer
from triptych_server.capabilities.captioning import Captioner
from triptych_server.capabilities.chat import Chat
from triptych_server.capabilities.concurrency import Bounds
from triptych_server.capabilities.embedding import Embedder
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.image_prefixes import ImagePrefixes
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.mils.beginning import Beginning
from triptych_server.capabilities.mils.cast import Casting
from triptych_server.capabilities.mils.solving import Solver
from triptych_server.capabilities.mils.subject_writer import SubjectWriter
from triptych_server.capabilities.mils.text_vectors import TextVectors
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.reranking import Reranker
from triptych_server.capabilities.retrieval import Retrieval
from triptych_server.capabilities.sights import Sights
from triptych_server.engines.collections import CollectionStore
from triptych_server.engines.collections.local import LocalCollectionStore
from triptych_server.engines.seed_pools import SeedPools
from triptych_server.fleet import Fleet
from triptych_server.health import HealthMonitor
from triptych_server.interceptors.admission import Admission
from triptych_server.interceptors.deadlines import deadlines
from triptych_server.interceptors.errors import errors
from triptych_server.interceptors.telemetry import Telemetry
from triptych_server.interceptors.wrapping import Answered, Around, AroundInterceptor
from triptych_server.metrics import MetricsServer, ServingCollector, process_registry
from triptych_server.offer import needs_generators, offered, optional, required
from triptych_server.opening import (
    catalog_of,
    open_encoders,
    open_generators,
    pools_directory,
)
from triptych_server.services.embedding import EmbeddingService
from triptych_server.services.mils import MilsService
from triptych_server.services.model import ModelService
from triptych_server.services.search import SearchService
from triptych_server.services.vision_language import VisionLanguageService
from triptych_server.settings import Service, Settings
from triptych_server.wakeup import bounded_wakeup

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

KEEPALIVE_MS = 20_000
STREAM_PIECES = 256  # requests of a stream that are read ahead of its answers

_log = logging.getLogger(__name__)


class Gateway:
    """A running gateway. `port` is the one that it listens on, `metrics_port` that of the metrics,
    None where there are none."""

    def __init__(self, settings: Settings) -> None:
        self.port = 0
        self.metrics_port: int | None = None
        self._settings = settings
        self._registry = process_registry()
        self._server = _server(settings, self._registry)
        self._health = health_aio.HealthServicer()
        self._resources = AsyncExitStack()

    @classmethod
    async def start(cls, settings: Settings) -> "Gateway":
        """Build all parts and listen. Raises `OSError`, `ValueError` or a `TriptychError`."""
        gateway = cls(settings)
        try:
            await gateway._build()
            gateway.port = _listen(gateway._server, settings)
            await gateway._server.start()
        except BaseException:
            await gateway._resources.aclose()
            raise
        return gateway

    async def stop(self) -> None:
        """Refuse new RPCs, let the running ones finish within the drain time, and release all."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain_s)
        await self._resources.aclose()

    async def _build(self) -> None:
        """Everything that there is, once, from the bottom up."""
        settings, resources = self._settings, self._resources
        resources.enter_context(bounded_wakeup(settings.wakeup_latency_us))
        executor = resources.enter_context(
            ThreadPoolExecutor(settings.threads, thread_name_prefix="media")
        )
        engine = await open_encoders(settings)
        resources.push_async_callback(engine.close)
        fleet: Fleet | None = None
        if needs_generators(settings):
            fleet = await open_generators(settings, resources)
        store: CollectionStore | None = None
        if Service.SEARCH in settings.services:
            store = await asyncio.to_thread(LocalCollectionStore, settings.data, settings.threads)
            resources.push_async_callback(store.close)
        if fleet is None:
            catalog = catalog_of(settings, engine, ())
        else:  # which may be empty now
            catalog = catalog_of(settings, engine, fleet, fleet.silent)
        self._add_services(catalog, store, Encoding(engine, catalog, executor), executor)

        monitor = HealthMonitor(
            self._health,
            catalog,
            offered(settings),
            required(settings),
            optional(settings),
        )
        await monitor.check()
        resources.push_async_callback(_cancel, asyncio.create_task(monitor.run()))
        if settings.metrics_port is not None:
            self._registry.register(ServingCollector(monitor.serving))
            metrics = MetricsServer(self._registry, settings.host, settings.metrics_port)
            resources.push_async_callback(metrics.close)
            self.metrics_port = metrics.port

    def _add_services(
        self,
        catalog: ModelCatalog,
        store: CollectionStore | None,
        encoding: Encoding,
        executor: Executor,
    ) -> None:
        """Everything above the engines and the models. Search needs a store."""
        settings, server = self._settings, self._server
        bounds = Bounds(STREAM_PIECES, settings.max_stream_bytes // settings.max_streams)
        # Streams get half of the queue, so that calls find room beside them.
        embedder = Embedder(encoding, stream_contents=settings.queue_rows // 2)
        matcher = Matcher(encoding)

        model_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(catalog), server)
        if Service.EMBEDDING in settings.services:
            embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(
                EmbeddingService(catalog, embedder, bounds), server
            )
        if store is not None:
            reranker = Reranker(store, catalog, matcher)
            retrieval = Retrieval(store, catalog, embedder, reranker, executor)
            search_pb2_grpc.add_SearchServiceServicer_to_server(
                SearchService(retrieval, bounds), server
            )
        sights = Sights(ImagePrefixes(encoding), executor, longest_side=settings.max_picture_side)
        scorer = CaptionScorer(catalog, embedder, matcher)
        captioner = Captioner(catalog, sights, scorer, queue=settings.generator_queue)
        if Service.VISION_LANGUAGE in settings.services:
            answerer, chat = Answerer(catalog, sights), Chat(catalog, sights)
            vision_language_pb2_grpc.add_VisionLanguageServiceServicer_to_server(
                VisionLanguageService(captioner, answerer, chat), server
            )
        if Service.MILS in settings.services:
            casting = Casting(catalog, matcher, SeedPools(pools_directory(settings)))
            vectors = TextVectors(
                encoding, capacity_bytes=settings.text_cache_bytes, rows=settings.queue_rows // 2
            )
            solver = Solver(casting, Beginning(embedder, captioner), vectors)
            mils_pb2_grpc.add_MilsServiceServicer_to_server(
                MilsService(solver, SubjectWriter(catalog)), server
            )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflected = (*offered(settings), HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(reflected, server)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of each request to a vLLM
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    gateway = await Gateway.start(settings)
    gc.freeze()  # what was built lives until the end; collections need not look at it
    if gateway.metrics_port is not None:
        where = address(settings.host, gateway.metrics_port)
        print(f"metrics are on http://{where}/metrics", flush=True)
    version = metadata.version("triptych")
    print(f"triptych {version} is ready on {address(settings.host, gateway.port)}", flush=True)
    await stopping.wait()
    _log.info("draining")
    await gateway.stop()


def _server(settings: Settings, registry: CollectorRegistry) -> aio.Server:
    admission = Admission(
        calls=settings.max_calls, streams=settings.max_streams, size=settings.max_call_bytes
    )
    arounds: list[Around] = [errors, admission.around, deadlines(settings.max_deadline_s)]
    answered: Answered | None = None
    if settings.metrics_port is not None:
        telemetry = Telemetry(registry, offered(settings))
        arounds.insert(0, telemetry.around)
        answered = telemetry.answered
    return aio.server(
        interceptors=[AroundInterceptor(arounds, answered)],
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            # Clients may send keepalives twice as often, also between calls.
            ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
            ("grpc.keepalive_permit_without_calls", 1),
            # A port that is taken is an error, not a port to share.
            ("grpc.so_reuseport", 0),
        ],
    )


def _listen(server: aio.Server, settings: Settings) -> int:
    where = address(settings.host, settings.port)
    try:
        return server.add_insecure_port(where)
    except RuntimeError:  # gRPC has logged the cause
        raise OSError(f"cannot listen on {where}: the port is taken, or no such host") from None


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
