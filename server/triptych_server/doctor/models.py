"""The models that a gateway would serve: what each does, in which space, and what ails it."""

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote

from triptych_server.capabilities.agreement import encoders_disagree
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.doctor.finding import Finding
from triptych_server.doctor.gateway import short
from triptych_server.doctor.trial import try_encoder, try_generator
from triptych_server.doctor.triton import http_api
from triptych_server.doctor.unloaded import NEEDS_TRITON, UnloadedEncoders
from triptych_server.doctor.vllm import serve_command
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.engines.generators.vllm.generator import VllmGenerator
from triptych_server.errors import TriptychError
from triptych_server.settings import SHIPPED_REPOSITORY, Service, Settings

AREA = "models"


@dataclass(frozen=True, slots=True)
class Engines:
    """Engines that answer, and the catalog of their models. `files` looks at the files of networks
    in process, which explain more than their engine can; None where they are elsewhere. With
    `compute` every model has to do so once."""

    encoders: EncoderEngine
    generators: Collection[Generator]
    catalog: ModelCatalog
    files: UnloadedEncoders | None
    compute: bool


async def examine_models(settings: Settings, engines: Engines) -> list[Finding]:
    """Read all models; one finding for each that is well, and one for each fault."""
    await engines.catalog.refresh()
    findings = [*await _unreadable(settings, engines)]
    for model in engines.catalog.list():
        faults = await _faults(settings, engines, model)
        findings += faults or [_well(engines.catalog, model)]
    findings += _defaults(settings, engines.catalog)
    if not findings:
        repository = quote(str(settings.assets or settings.repository))
        remedy = f"triptych export clip openai/clip-vit-base-patch32 --repository {repository}"
        findings.append(Finding.problem(AREA, "all", "there is no model", remedy))
    if Service.MILS in settings.services and engines.catalog.lacks(Task.PROPOSE):
        remedy = "triptych serve --generator http://HOST:8000  # a vLLM with a chat model"
        detail = "no model writes them, so nothing can be searched for"
        findings.append(Finding.ok(AREA, str(Task.PROPOSE), detail, remedy))
    return findings


def spaces(catalog: ModelCatalog) -> Mapping[str, str]:
    """The space of each model that embeds, by its name."""
    return {model.name: model.space for model in catalog.list() if model.can(Task.EMBED)}


def export_command(settings: Settings, spec: EncoderSpec | GeneratorSpec) -> str:
    """What writes the files of a model anew."""
    repository = settings.repository
    generators = settings.generators or repository.parent / "generators"
    if repository.resolve() == SHIPPED_REPOSITORY.resolve():
        if isinstance(spec, EncoderSpec) or settings.generators is None:
            return "pip install --force-reinstall --no-deps triptych"
        repository = generators.parent / "models"  # not among those that were installed
    checkpoint, _, revision = spec.source.partition("@")
    blip2 = spec.family == "blip_2" or isinstance(spec, GeneratorSpec)
    words = ["triptych", "export", "blip2" if blip2 else "clip", checkpoint]
    words += ["--revision", revision] if revision else []
    words += ["--repository", str(repository), "--name", spec.model]
    if isinstance(spec, EncoderSpec):
        words += ["--precision", spec.precision]
    else:
        words += ["--generators", str(generators)]
    return shlex.join([*words, "--overwrite"])


def _well(catalog: ModelCatalog, model: Model) -> Finding:
    able = [task for task in Task if model.can(task)]
    uses = [
        f"{task} (default)" if catalog.default(task) == model.name else str(task)
        for task in able
        if not any(task != other and task in other for other in able)  # which names it
    ]
    roles = ", ".join(spec.role for spec in model.specs)
    numbers = f", {model.dimension} numbers" if model.dimension else ""
    space = f", space {short(model.space)}" if model.space else ""
    detail = "; ".join(uses) or f"nothing by itself, having {roles} alone"
    return Finding.ok(AREA, model.name, f"{detail}{numbers}{space}")


async def _faults(settings: Settings, engines: Engines, model: Model) -> list[Finding]:
    """What keeps parts of a model from being used, each told once."""
    if reason := encoders_disagree(model.name, model.specs):
        remedy = (
            f"{export_command(settings, model.specs[0])}  # all its encoders from one checkpoint"
        )
        return [Finding.problem(AREA, model.name, _without(model.name, reason), remedy)]
    findings = []
    for spec in model.specs:
        try:
            if engines.files is not None:
                await engines.files.ready(spec.name)
            await engines.catalog.check_ready(model, spec)
            if engines.compute:
                await try_encoder(engines.encoders, spec)
        except TriptychError as error:
            remedy = _encoder_remedy(settings, spec, error)
            findings.append(Finding.problem(AREA, model.name, error.message, remedy))
    if model.generator is not None:
        try:
            await engines.catalog.check_generator(model)
            if engines.compute:
                await try_generator(engines.catalog.generator(model))
        except TriptychError as error:
            remedy = _generator_remedy(settings, engines, model.generator, error)
            findings.append(Finding.problem(AREA, model.name, error.message, remedy))
    return findings


async def _unreadable(settings: Settings, engines: Engines) -> list[Finding]:
    """Encoders and generators of which nobody knows to which model they belong."""
    findings = []
    for name in await engines.encoders.encoders():
        try:
            await engines.encoders.spec(name)
        except TriptychError as error:
            detail = _without(name, error.message)
            remedy = _config_remedy(settings, name)
            findings.append(Finding.problem("encoders", name, detail, remedy))
    for generator in engines.generators:
        try:
            await generator.spec()
        except TriptychError as error:
            detail = _without(generator.name, error.message)
            remedy = "triptych export blip2 … --generators DIR --overwrite"
            findings.append(Finding.problem("generators", generator.name, detail, remedy))
    return findings


def _config_remedy(settings: Settings, encoder: str) -> str:
    if settings.encoders == "onnx":
        path = quote(str(settings.repository / encoder / "config.pbtxt"))
        return f"$EDITOR {path}  # or export the model again"
    return (
        f"curl {http_api(settings.encoders)}/models/{quote(encoder)}/config  # or export it again"
    )


def _encoder_remedy(settings: Settings, spec: EncoderSpec, error: TriptychError) -> str:
    if error.reason == NEEDS_TRITON:
        repository = quote(str(settings.repository))
        return (
            f"tritonserver --model-repository {repository} & "
            f"triptych serve --encoders triton://127.0.0.1:8001 --assets {repository}"
        )
    if settings.encoders == "onnx":
        return export_command(settings, spec)
    if error.reason == "ENCODER_NOT_USABLE":  # its tokenizer, which the gateway reads
        folder = quote(f"{(settings.assets or settings.repository) / spec.name}/")
        skipped = "--exclude '*.onnx*' --exclude '*.plan'"
        return f"rsync -a {skipped} TRITON_HOST:REPOSITORY/{quote(spec.name)}/ {folder}"
    return f"curl -X POST {http_api(settings.encoders)}/repository/models/{quote(spec.name)}/load"


def _generator_remedy(
    settings: Settings, engines: Engines, spec: GeneratorSpec, error: TriptychError
) -> str:
    remote = any(
        isinstance(each, VllmGenerator) and each.name == spec.name for each in engines.generators
    )
    if remote and error.reason != "GENERATOR_NOT_LOADED":  # which is about its folder here
        return serve_command(settings, spec.name, spec)
    return export_command(settings, spec)


def _defaults(settings: Settings, catalog: ModelCatalog) -> Iterator[Finding]:
    """Settings that name a model which cannot do what it is meant for."""
    for task in Task:
        able = [model.name for model in catalog.list() if model.can(task)]
        name = catalog.default(task)
        if not name or name in able:
            continue
        for setting in type(settings).model_fields:
            if setting.startswith("default_") and getattr(settings, setting) == name:
                remedy = f"export TRIPTYCH_{setting.upper()}={quote(next(iter(able), ''))}"
                detail = f"{name} does not serve {task}"
                yield Finding.problem("settings", setting, detail, remedy)


def _without(name: str, message: str) -> str:
    """A message without the name that stands beside it anyway."""
    return message.removeprefix(f"{name}: ")
