"""The models that requests may name: encoders and a generator of one checkpoint, grouped."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triptych_server.capabilities.agreement import encoders_disagree, generators_disagree
from triptych_server.capabilities.tasks import Task, roles_for
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Role, Scoring
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TriptychError,
    Unavailable,
)
from triptych_server.media.text import TextTokenizer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unread:
    """Encoders and generators that cannot be read, and why; of which model they are is unknown."""

    encoders: Mapping[str, str] = field(default_factory=dict)
    generators: Mapping[str, str] = field(default_factory=dict)

    def check(self, task: Task | None) -> None:
        """Raise `Unavailable` if one of them may be needed for a task, None being any."""
        for reason in self.encoders.values():
            raise Unavailable(reason, reason="ENCODER_NOT_LOADED")
        if task in (Task.VISION_LANGUAGE, None):
            for reason in self.generators.values():
                raise Unavailable(reason, reason="GENERATOR_NOT_LOADED")


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that can be named in requests. Its encoders share one space."""

    name: str
    specs: Sequence[EncoderSpec]
    encoders: Mapping[Role, EncoderSpec]
    tokenizers: Mapping[Role, TextTokenizer]
    generator: GeneratorSpec | None
    # Encoder name -> why it cannot be used, whatever its engine says.
    faults: Mapping[str, str]
    # The same for the generator; empty without fault.
    generator_fault: str
    # What may be of this model.
    unread: Unread

    @property
    def family(self) -> str:
        return self._any.family

    @property
    def source(self) -> str:
        return self._any.source

    @property
    def space(self) -> str:
        return self._any.space

    @property
    def dimension(self) -> int:
        """Numbers of a vector; 0 if it does not embed."""
        return max((spec.dimension for spec in self.specs), default=0)

    @property
    def scoring(self) -> Scoring | None:
        return next((spec.scoring for spec in self.specs if spec.scoring), None)

    def can(self, task: Task) -> bool:
        """Whether it has the parts for a task, in order or not."""
        generates = task is not Task.VISION_LANGUAGE or self.generator is not None
        return generates and bool(roles_for(task, self.encoders))

    def check_can(self, task: Task) -> None:
        """Raise `FailedPrecondition` if it lacks parts for the task, or `Unavailable` if it may
        have them and they cannot be read."""
        if self.can(task):
            return
        self.unread.check(task)
        others = " and ".join(other for other in Task if self.can(other)) or "nothing"
        raise FailedPrecondition(
            f"the model {self.name!r} does not serve {task}; it serves {others}",
            reason="TASK_NOT_SUPPORTED",
            field="model",
        )

    def encoder(self, role: Role) -> EncoderSpec:
        """The encoder of a role.

        Raises `Unavailable` if it cannot be used, or may be one that cannot be read,
        `InvalidArgument` about `text` or `image` if the model embeds, but not these, and
        `FailedPrecondition` if it has no such encoder.
        """
        if role in self.encoders:
            encoder = self.encoders[role]
            if encoder.name in self.faults:
                raise Unavailable(self.faults[encoder.name], reason="ENCODER_NOT_USABLE")
            return encoder
        self.unread.check(Task.EMBED)  # encoders alone
        if role in (Role.IMAGE, Role.TEXT):
            self.check_can(Task.EMBED)
            kind = "text" if role is Role.TEXT else "image"
            raise InvalidArgument(
                kind, f"the model {self.name!r} takes no {kind}", reason="MODALITY_NOT_SUPPORTED"
            )
        raise FailedPrecondition(
            f"the model {self.name!r} has no encoder of the role {role}",
            reason="TASK_NOT_SUPPORTED",
            field="model",
        )

    @property
    def _any(self) -> EncoderSpec | GeneratorSpec:
        if self.specs:
            return self.specs[0]
        assert self.generator is not None, "a model has a part at least"
        return self.generator


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was found under one model's name."""

    encoders: list[EncoderSpec] = field(default_factory=list)
    generators: list[GeneratorSpec] = field(default_factory=list)


class ModelCatalog:
    """Discovers the models of an engine and of generators. `assets` holds the tokenizers of
    encoders, laid out as the repository.

    A request that names no model gets the one that `defaults` has for its task, or the first by
    name that can do it when that is missing or empty.
    """

    def __init__(
        self,
        engine: EncoderEngine,
        assets: Path,
        *,
        generators: Sequence[Generator] = (),
        defaults: Mapping[Task, str] | None = None,
    ) -> None:
        self._engine = engine
        self._assets = assets
        self._generators = {generator.name: generator for generator in generators}
        self._defaults = dict(defaults or {})
        self._parts: dict[str, _Parts] = {}
        self._models: dict[str, Model] = {}
        self._unread = Unread()

    async def refresh(self) -> None:
        """Read every spec again; models that did not change are kept."""
        parts: dict[str, _Parts] = {}
        unread_encoders: dict[str, str] = {}
        unread_generators: dict[str, str] = {}
        for name in await self._engine.encoders():
            try:
                encoder = await self._engine.spec(name)
            except TriptychError as error:
                unread_encoders[name] = error.message
                continue
            parts.setdefault(encoder.model, _Parts()).encoders.append(encoder)
        for name, each in self._generators.items():
            try:
                generator = await each.spec()
            except TriptychError as error:
                unread_generators[name] = error.message
                continue
            parts.setdefault(generator.model, _Parts()).generators.append(generator)
        unread = Unread(unread_encoders, unread_generators)
        models = {
            name: await self._kept_or_read(name, found, unread)
            for name, found in sorted(parts.items())
        }
        self._models, self._parts, self._unread = models, parts, unread

    def list(self) -> list[Model]:
        """All models by name."""
        return list(self._models.values())

    def default(self, task: Task) -> str:
        """Name of the default model of a task; empty when there is none."""
        return self._defaults.get(task) or next(iter(self._able(task)), "")

    def is_default(self, model: Model) -> bool:
        """Whether requests that name no model get this one, for a task that it can do."""
        return any(model.can(task) and self.default(task) == model.name for task in Task)

    def get(self, name: str, task: Task | None = Task.EMBED) -> Model:
        """The model `name`, or the task's default for an empty one. Without a task it is any model,
        and the default that of the first task that has one.

        Raises `NotFound`, and as `Model.check_can`.
        """
        tasks = [task] if task else list(Task)
        chosen = name or next(filter(None, map(self.default, tasks)), "")
        model = self._models.get(chosen)
        if model is None and not chosen:
            self._unread.check(task)
        if model is None:
            known = ", ".join(self._able(task) if task else self._models) or "none"
            purpose = f" for {task}" if task else ""
            raise NotFound(
                f"there is no model {chosen!r}; the server's models{purpose} are: {known}",
                reason="MODEL_NOT_FOUND",
                field="model",
            )
        if task:
            model.check_can(task)
        return model

    def generator(self, model: Model) -> Generator:
        """What continues the prefixes of a model that has a generator; raises `Unavailable`."""
        assert model.generator is not None, "asked of models that generate"
        if model.generator_fault:
            raise Unavailable(model.generator_fault, reason="GENERATOR_NOT_USABLE")
        return self._generators[model.generator.name]

    async def check(self, task: Task) -> None:
        """Raise unless the task's default model can do it now, and all that may be its can be
        read."""
        model = self.get("", task)
        for role in roles_for(task, model.encoders):
            await self.check_ready(model, model.encoders[role])
        if task is Task.VISION_LANGUAGE:
            await self.generator(model).ready()
        self._unread.check(task)

    async def check_ready(self, model: Model, encoder: EncoderSpec) -> None:
        """Raise `Unavailable` with the reason unless this encoder can be used now."""
        if encoder.name in model.faults:
            raise Unavailable(model.faults[encoder.name], reason="ENCODER_NOT_USABLE")
        await self._engine.ready(encoder.name)

    def _able(self, task: Task) -> Sequence[str]:
        return [name for name, model in self._models.items() if model.can(task)]

    async def _kept_or_read(self, name: str, parts: _Parts, unread: Unread) -> Model:
        known = self._models.get(name)
        unchanged = (self._parts.get(name), self._unread) == (parts, unread)
        if known and unchanged and not known.faults and not known.generator_fault:
            return known
        model = await asyncio.to_thread(self._read, name, parts, unread)
        if not known or known.faults != model.faults:
            for reason in model.faults.values():
                _log.error("%s", reason)
        if model.generator_fault and (not known or known.generator_fault != model.generator_fault):
            _log.error("%s", model.generator_fault)
        return model

    def _read(self, name: str, parts: _Parts, unread: Unread) -> Model:
        specs = parts.encoders
        faults: dict[str, str] = {}
        tokenizers: dict[Role, TextTokenizer] = {}
        for spec in specs:
            if spec.text is None:
                continue
            try:
                tokenizers[spec.role] = TextTokenizer.read(self._assets, spec.name, spec.text)
            except ValueError as error:
                faults[spec.name] = str(error)
        if reason := encoders_disagree(name, specs):
            faults = {spec.name: reason for spec in specs}
        return Model(
            name=name,
            specs=specs,
            encoders={spec.role: spec for spec in specs},
            tokenizers=tokenizers,
            generator=next(iter(parts.generators), None),
            faults=faults,
            generator_fault=generators_disagree(name, parts.generators, specs),
            unread=unread,
        )
