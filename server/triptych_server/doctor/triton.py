"""Tritons, each asked by itself: who answers, and with which models."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from shlex import quote

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from triptych_server.doctor.finding import Finding
from triptych_server.doctor.gateway import cause as cause_of
from triptych_server.engines.encoders.triton.addresses import Addresses
from triptych_server.engines.encoders.triton.errors import first_line
from triptych_server.errors import Unavailable

AREA = "encoders"
SCHEME = "triton://"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model of a Triton's repository: its state and what Triton says about it."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Triton:
    """What one Triton told. With a `fault` it did not answer, and the rest is empty."""

    address: str
    fault: str = ""
    version: str = ""
    ready: bool = False
    models: Sequence[LoadedModel] = ()


async def ask_all(encoders: str, timeout_s: float) -> list[Triton]:
    """Every Triton that the setting `encoders` stands for.

    Raises `ValueError` for what is no address, and `Unavailable` for a name that stands for none.
    """
    addresses = await Addresses(encoders.removeprefix(SCHEME)).resolve()
    return list(await asyncio.gather(*(_ask(each, timeout_s) for each in addresses)))


def no_address(encoders: str, error: ValueError | Unavailable) -> Finding:
    """The setting stands for no Triton at all."""
    host = encoders.removeprefix(SCHEME).rpartition(":")[0]
    remedy = f"getent hosts {quote(host)}  # or: export TRIPTYCH_ENCODERS=triton://HOST:8001"
    return Finding.problem(AREA, encoders, str(error), remedy)


def examine_triton(triton: Triton, encoders: Collection[str]) -> Iterator[Finding]:
    """Whether it answers, and has loaded all that it tried to and all of `encoders` that it has."""
    what = f"triton {triton.address}"
    api = http_api(triton.address)
    if triton.fault:
        remedy = f"curl -i {api}/health/ready  # gRPC is 8001 by default"
        yield Finding.problem(AREA, what, f"does not answer: {triton.fault}", remedy)
        return
    loaded = sum(model.state == "READY" for model in triton.models)
    detail = f"Triton {triton.version}, {loaded} of {len(triton.models)} models loaded"
    if triton.ready:
        yield Finding.ok(AREA, what, detail)
    else:
        remedy = f"curl -X POST {api}/repository/index  # then its log"
        yield Finding.problem(AREA, what, f"{detail}, but it is not ready", remedy)
    for model in triton.models:
        tried = model.reason not in ("", "unloaded")
        if model.state != "READY" and (tried or model.name in encoders):
            cause = f": {model.reason}" if model.reason else ""
            detail = f"{model.state.lower() or 'not loaded'}{cause}"
            remedy = f"curl -X POST {api}/repository/models/{quote(model.name)}/load"
            yield Finding.problem(AREA, f"{model.name} on {triton.address}", detail, remedy)


def differences(tritons: Sequence[Triton]) -> Iterator[Finding]:
    """Models that one of several Tritons lacks: the load of all falls on the others."""
    answering = [triton for triton in tritons if not triton.fault]
    loaded = {
        triton.address: {model.name for model in triton.models if model.state == "READY"}
        for triton in answering
    }
    everywhere = set.union(set(), *loaded.values())
    for address, names in loaded.items():
        if missing := sorted(everywhere - names):
            remedy = f"curl -X POST {http_api(address)}/repository/models/{quote(missing[0])}/load"
            detail = f"lacks {', '.join(missing)}, which others have loaded"
            yield Finding.warning(AREA, f"triton {address}", detail, remedy)


def http_api(address: str) -> str:
    """Triton's HTTP API beside the gRPC `address`, of which nobody tells the port: its default."""
    return f"http://{address.removeprefix(SCHEME).rpartition(':')[0]}:8000/v2"


async def _ask(address: str, timeout_s: float) -> Triton:
    client = InferenceServerClient(address)
    try:
        metadata = await client.get_server_metadata(client_timeout=timeout_s)
        ready = await client.is_server_ready(client_timeout=timeout_s)
        index = await client.get_model_repository_index(client_timeout=timeout_s)
    except InferenceServerException as error:
        return Triton(address, _cause(error, timeout_s))
    finally:
        await client.close()
    models = [LoadedModel(each.name, each.state, first_line(each.reason)) for each in index.models]
    return Triton(address, "", metadata.version, ready, models)


def _cause(error: InferenceServerException, timeout_s: float) -> str:
    if error.status() == "StatusCode.DEADLINE_EXCEEDED":
        return f"nothing came within {timeout_s:g} s"
    return cause_of(error.message())
