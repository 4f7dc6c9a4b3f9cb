"""The engines that a gateway of these settings would open, their models, and the collections that
need these."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.doctor import data, triton, vllm
from triptych_server.doctor.configuration import is_gateway
from triptych_server.doctor.finding import Finding
from triptych_server.doctor.machine import mib, read_machine, room_for
from triptych_server.doctor.models import Engines, examine_models, spaces
from triptych_server.doctor.pools import examine_pools
from triptych_server.doctor.unloaded import UnloadedEncoders, UnloadedGenerator
from triptych_server.engines.collections.protocol import Collection
from triptych_server.engines.encoders import EncoderEngine
from triptych_server.engines.generators.protocol import Generator
from triptych_server.errors import Unavailable
from triptych_server.fleet import Fleet
from triptych_server.offer import needs_generators
from triptych_server.opening import (
    catalog_of,
    open_encoders,
    open_generators,
    pools_directory,
)
from triptych_server.settings import Service, Settings

AREA = "encoders"


@dataclass(frozen=True, slots=True)
class _Served:
    """Findings, and the space of each model that embeds; None if the engines do not answer."""

    findings: list[Finding]
    spaces: Mapping[str, str] | None = None


def examine_engines(settings: Settings, *, load: bool, timeout_s: float) -> Iterator[Finding]:
    """Engines, models, seed pools and collections, in this order."""
    served = asyncio.run(_examine(settings, load, timeout_s))
    yield from served.findings
    if Service.MILS in settings.services:
        yield from _pools(settings, served.spaces)
    if Service.SEARCH in settings.services:
        yield from _collections(settings, served.spaces)


def _pools(settings: Settings, known: Mapping[str, str] | None) -> Iterator[Finding]:
    try:
        directory = pools_directory(settings)
    except ValueError as error:
        yield Finding.problem("pools", "all", str(error), "export TRIPTYCH_POOLS=DIR")
        return
    yield from asyncio.run(examine_pools(directory, known))


def _collections(settings: Settings, known: Mapping[str, str] | None) -> Iterator[Finding]:
    found = list(data.read_collections(settings.data))
    yield from (each for each in found if isinstance(each, Finding))
    readable = [each for each in found if isinstance(each, Collection)]
    if known is not None:
        yield from data.collections(readable, known)
    elif readable:
        detail = "not compared with the models, which are not known"
        yield Finding.ok(data.AREA, f"{len(readable)} collections", detail)


async def _examine(settings: Settings, load: bool, timeout_s: float) -> _Served:
    async with AsyncExitStack() as resources:
        findings: list[Finding] = []
        fleet: Fleet | None = None
        if needs_generators(settings):
            asked = await vllm.ask_all(vllm.endpoints(settings), timeout_s)
            findings += map(vllm.examine_vllm, asked)
            findings += vllm.served_names(settings, asked)
            try:
                fleet = await _fleet(settings, load, resources)
            except ValueError as error:
                remedy = "export TRIPTYCH_GENERATORS=DIR  # and the keys that the settings name"
                findings.append(Finding.problem("generators", "all", str(error), remedy))
        if settings.encoders == "onnx":
            served = await _in_process(settings, fleet, load, timeout_s, resources)
        else:
            served = await _in_tritons(settings, fleet, load, timeout_s, resources)
        return replace(served, findings=[*served.findings, *findings])


async def _fleet(settings: Settings, load: bool, resources: AsyncExitStack) -> Fleet:
    async def look_at(folder: Path) -> Generator:
        return UnloadedGenerator(folder)

    return await open_generators(settings, resources, None if load else look_at)


def _catalog(settings: Settings, encoders: EncoderEngine, fleet: Fleet | None) -> ModelCatalog:
    if fleet is None:
        return catalog_of(settings, encoders, [])
    return catalog_of(settings, encoders, fleet, fleet.silent)


async def _in_process(
    settings: Settings,
    fleet: Fleet | None,
    load: bool,
    timeout_s: float,
    resources: AsyncExitStack,
) -> _Served:
    try:
        files = UnloadedEncoders(settings.repository)
    except ValueError as error:
        remedy = "export TRIPTYCH_REPOSITORY=DIR"
        return _Served([Finding.problem(AREA, "in process", str(error), remedy)])
    encoders: EncoderEngine = files
    if load:
        encoders = await open_encoders(settings)
        resources.push_async_callback(encoders.close)
    catalog = _catalog(settings, encoders, fleet)
    size = files.size + sum(g.size for g in fleet or () if isinstance(g, UnloadedGenerator))
    state = "loaded" if load else "not loaded; --load does"
    detail = f"{len(await files.encoders())} in {settings.repository}, {mib(files.size)}, {state}"
    lacking = list(room_for(read_machine(), size))
    # Whoever serves here holds them already.
    if lacking and is_gateway(settings.host, settings.port, timeout_s):
        lacking = []
    findings = [
        Finding.ok(AREA, "in process", detail),
        *lacking,
        *await examine_models(settings, Engines(encoders, fleet or (), catalog, files, load)),
    ]
    return _Served(findings, spaces(catalog))


async def _in_tritons(
    settings: Settings,
    fleet: Fleet | None,
    load: bool,
    timeout_s: float,
    resources: AsyncExitStack,
) -> _Served:
    """Each Triton by itself: together they would hide which of them is at fault."""
    try:
        tritons = await triton.ask_all(settings.encoders, timeout_s)
    except (ValueError, Unavailable) as error:
        return _Served([triton.no_address(settings.encoders, error)])
    assets = settings.assets or settings.repository
    known_here = await UnloadedEncoders(assets).encoders() if assets.is_dir() else []
    findings = [f for each in tritons for f in triton.examine_triton(each, known_here)]
    findings += triton.differences(tritons)
    found: dict[Finding, list[str]] = {}
    known: dict[str, str] = {}
    answering = [each.address for each in tritons if not each.fault]
    for address in answering:
        alone = settings.model_copy(update={"encoders": f"{triton.SCHEME}{address}"})
        encoders = await open_encoders(alone)
        resources.push_async_callback(encoders.close)
        catalog = _catalog(alone, encoders, fleet)
        for each in await examine_models(
            alone, Engines(encoders, fleet or (), catalog, None, load)
        ):
            found.setdefault(each, []).append(address)
        known |= spaces(catalog)
    for each, where in found.items():
        place = "" if where == answering else f" on {', '.join(where)}"
        findings.append(replace(each, what=f"{each.what}{place}"))
    return _Served(findings, known if answering else None)
