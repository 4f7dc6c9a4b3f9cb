"""Servers of language models, each asked by itself: who answers, and for which models."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from shlex import quote

import httpx2

from triptych_server.doctor.finding import Finding
from triptych_server.engines.generators.spec import FolderSpec, GeneratorSpec
from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.engines.generators.vllm.model_list import MODELS, read_list
from triptych_server.opening import generators_directory
from triptych_server.remote_generators import api_key
from triptych_server.settings import Settings

AREA = "generators"
_FLAGS = {
    Style.CHAT: "",
    Style.PROMPT_EMBEDS: " --enable-prompt-embeds",
    Style.IMAGE_EMBEDS: """ --enable-mm-embeds --limit-mm-per-prompt '{"image": 0}'""",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server of the settings, and the environment variable that holds its key, if any."""

    url: str
    key_variable: str


@dataclass(frozen=True, slots=True)
class Vllm:
    """What one server told: its version, and the context of each model that it serves. With a
    `fault` it did not answer as it should."""

    endpoint: Endpoint
    fault: str = ""
    version: str = ""
    models: Mapping[str, int | None] = field(default_factory=dict)


def endpoints(settings: Settings) -> list[Endpoint]:
    """Every server that the settings name, once."""
    found = [Endpoint(url, settings.generator_api_key_env) for url in settings.generator]
    for table in settings.remote_generators:
        found += [Endpoint(url, table.api_key_env) for url in table.urls]
    return list(dict.fromkeys(found))


async def ask_all(found: Sequence[Endpoint], timeout_s: float) -> list[Vllm]:
    """Ask all servers at once."""
    # No proxy of the environment: the engines take none either.
    async with httpx2.AsyncClient(timeout=timeout_s, trust_env=False) as client:
        return list(await asyncio.gather(*(_ask(client, each, timeout_s) for each in found)))


def examine_vllm(vllm: Vllm) -> Finding:
    """Whether it answers, and with what."""
    url, variable = vllm.endpoint.url, vllm.endpoint.key_variable
    what = f"vllm {url}"
    if vllm.fault:
        key = f' -H "Authorization: Bearer ${variable}"' if variable else ""
        return Finding.problem(AREA, what, vllm.fault, f"curl -i{key} {url}{MODELS}")
    models = [
        f"{name} ({length} tokens)" if length else name for name, length in vllm.models.items()
    ]
    detail = f"serves {', '.join(models) or 'nothing'}"
    if not vllm.version:
        more = "vllm serve …  # structure, scores and soft prefixes are vLLM's own"
        return Finding.warning(AREA, what, f"{detail}, but it is no vLLM", more)
    return Finding.ok(AREA, what, f"vLLM {vllm.version} {detail}")


def served_names(settings: Settings, asked: Sequence[Vllm]) -> Iterator[Finding]:
    """Models of the settings that a server does not have under the name that it would be asked
    for, and replicas that do not serve the same."""
    by_url = {each.endpoint.url: each for each in asked if not each.fault}
    for table in settings.remote_generators:
        for url in table.urls or settings.generator:
            if url in by_url and table.served_name and table.served_name not in by_url[url].models:
                detail = f"{url} does not serve {table.served_name}"
                yield Finding.problem(AREA, table.name, detail, serve_command(settings, table.name))
    replicas = [by_url[url] for url in settings.generator if url in by_url]
    everything = {name for each in replicas for name in each.models}
    for each in replicas:
        if missing := sorted(everything - each.models.keys()):
            detail = f"does not serve {', '.join(missing)}, which other servers of `generator` do"
            remedy = f"vllm serve {quote(missing[0])}  # the same on all of them"
            yield Finding.warning(AREA, f"vllm {each.endpoint.url}", detail, remedy)


def serve_command(settings: Settings, name: str, spec: GeneratorSpec | None = None) -> str:
    """What starts a server of the model `name`; `spec` is what is known of it."""
    table = next((table for table in settings.remote_generators if table.name == name), None)
    served = table.served_name if table and table.served_name else name
    found = Style.PROMPT_EMBEDS if isinstance(spec, FolderSpec) else Style.CHAT
    flags = _FLAGS[table.style if table else found]
    checkpoint = quote(_checkpoint(settings, spec) or "CHECKPOINT")
    return f"vllm serve {checkpoint} --served-model-name {quote(served)}{flags}"


def _checkpoint(settings: Settings, spec: GeneratorSpec | None) -> str:
    """What a server of the model reads, empty if that is not known: of a folder not its source, but
    the part of it that the export writes for vLLM."""
    if not isinstance(spec, FolderSpec):
        return spec.source if spec else ""
    directory = generators_directory(settings)
    written = directory / spec.name / "checkpoint" if directory else None
    return str(written) if written and written.is_dir() else ""


async def _ask(client: httpx2.AsyncClient, endpoint: Endpoint, timeout_s: float) -> Vllm:
    try:
        key = api_key(endpoint.key_variable, os.environ)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with asyncio.timeout(timeout_s):
            paths = ("/health", "/version", MODELS)
            answers = [await client.get(endpoint.url + path, headers=headers) for path in paths]
    except ValueError as error:
        return Vllm(endpoint, str(error))
    except TimeoutError:
        return Vllm(endpoint, f"does not answer: nothing came within {timeout_s:g} s")
    except httpx2.HTTPError as error:
        return Vllm(endpoint, f"does not answer: {error or type(error).__name__}")
    health, version, models = answers
    if models.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        lacking = "its API key" if endpoint.key_variable else "an API key: set api_key_env"
        return Vllm(endpoint, f"refuses: it wants {lacking}")
    if health.is_server_error:
        return Vllm(endpoint, f"is not healthy: /health answers {health.status_code}")
    try:
        listed = {model.name: model.context_length for model in read_list(models.json())}
        return Vllm(endpoint, "", _version(version), listed)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Vllm(endpoint, f"lists no models: {MODELS} answers {models.status_code}")


def _version(response: httpx2.Response) -> str:
    return str(response.json()["version"]) if response.is_success else ""
