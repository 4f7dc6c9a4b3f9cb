"""The models that requests may name: encoders and a generator of one checkpoint, grouped."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from triptych_server.capabilities.model import Model, Parts, read_model
from triptych_server.capabilities.tasks import WRITING, Task, roles_for
from triptych_server.capabilities.unread import Unread
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import NotFound, TriptychError, Unavailable

T = TypeVar("T")

# Seconds that a generator may take to say what it is, or whether it can serve: it may be elsewhere.
ANSWER_S = 2.0

_log = logging.getLogger(__name__)


class ModelCatalog:
    """Discovers the models of an engine and of generators. `assets` holds the tokenizers of
    encoders, laid out as the repository. The `generators` may come and go; `silent` are servers
    that have not said which ones they run, and why.

    A request that names no model gets the one that `defaults` has for its task, or the first by
    name that can do it when that is missing or empty. Chat has the default of captions and answers
    while there is one. Of proposals the first is one that was trained for them, if there is any.
    """

    def __init__(
        self,
        engine: EncoderEngine,
        assets: Path,
        *,
        generators: Collection[Generator] = (),
        silent: Callable[[], Mapping[str, str]] = dict,
        defaults: Mapping[Task, str] | None = None,
    ) -> None:
        self._engine = engine
        self._assets = assets
        self._source = generators
        self._silent = silent
        self._generators: Mapping[str, Generator] = {}
        self._described: dict[str, GeneratorSpec] = {}
        self._defaults = dict(defaults or {})
        self._parts: dict[str, Parts] = {}
        self._models: dict[str, Model] = {}
        self._unread = Unread()
        self._listed = False

    async def refresh(self) -> None:
        """Read every spec again; models that did not change are kept.

        While the engine has not listed its encoders yet, only generators are known.
        """
        parts: dict[str, Parts] = {}
        unread_encoders: dict[str, str] = {}
        unlisted = ""
        try:
            names = await self._engine.encoders()
            self._listed = True
        except Unavailable as error:
            if self._listed:
                raise
            names, unlisted = [], error.message
        for name in names:
            try:
                encoder = await self._engine.spec(name)
            except TriptychError as error:
                unread_encoders[name] = error.message
                continue
            parts.setdefault(encoder.model, Parts()).encoders.append(encoder)
        generators = {generator.name: generator for generator in self._source}
        undescribed = await self._describe(generators)
        unread = Unread(unread_encoders, undescribed, self._silent(), unlisted)
        for name in generators:
            if name not in unread.generators:
                generator = self._described[name]
                parts.setdefault(generator.model, Parts()).generators.append(generator)
        models = {
            name: await self._kept_or_read(name, found, unread)
            for name, found in sorted(parts.items())
        }
        self._models, self._parts, self._unread = models, parts, unread
        self._generators = generators

    def list(self) -> list[Model]:
        """All models by name."""
        return list(self._models.values())

    def default(self, task: Task) -> str:
        """Name of the default model of a task; empty when there is none."""
        if task is Task.CHAT and (whole := self.default(Task.VISION_LANGUAGE)):
            return whole
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
        if model is None:
            self._unread.check_name(chosen, task)
            known = ", ".join(self._able(task) if task else self._models) or "none"
            purpose = f" for {task}" if task else ""
            missing = f"there is no model {chosen!r}; the server's models{purpose} are: {known}"
            raise NotFound(
                missing if chosen else f"the server has no model{purpose}",
                reason="MODEL_NOT_FOUND",
                field="model",
            )
        if task:
            model.check_can(task)
        return model

    def lacks(self, task: Task) -> bool:
        """Whether it has no model for a task that writes, and nothing that may be one or should
        be, as a generator of no use without encoders that are missing."""
        if self.default(task):
            return False
        try:
            self._unread.check_name("", task)
        except Unavailable:
            return False
        writers = [model for model in self._models.values() if model.generator]
        return all(any(model.can(each) for each in WRITING) for model in writers)

    def generator(self, model: Model) -> Generator:
        """What writes for a model that has a generator; raises `Unavailable`."""
        assert model.generator is not None, "asked of models that generate"
        if model.generator_fault:
            raise Unavailable(model.generator_fault, reason="GENERATOR_NOT_USABLE")
        name = model.generator.name
        if name not in self._generators:  # since the model was looked up
            raise Unavailable(f"{name} is served no more", reason="GENERATOR_NOT_LOADED")
        return self._generators[name]

    async def check(self, task: Task) -> None:
        """Raise unless the task's default model can do it now, and all that may be its can be
        read."""
        model = self.get("", task)
        for role in roles_for(task, model.encoders):
            await self.check_ready(model, model.encoders[role])
        if task in WRITING:
            await self.check_generator(model)
        self._unread.check(task)

    async def check_generator(self, model: Model) -> None:
        """Raise `Unavailable` with the reason unless the generator of a model that has one can
        serve now."""
        generator = self.generator(model)
        await _in_time(generator.ready(), generator.name)

    async def check_ready(self, model: Model, encoder: EncoderSpec) -> None:
        """Raise `Unavailable` with the reason unless this encoder can be used now."""
        if encoder.name in model.faults:
            raise Unavailable(model.faults[encoder.name], reason="ENCODER_NOT_USABLE")
        await self._engine.ready(encoder.name)

    async def _describe(self, generators: Mapping[str, Generator]) -> dict[str, str]:
        """Ask generators what they are; returns why some cannot tell. What was told once holds
        until they tell something else. A defect of one takes no other model away."""
        specs = (_in_time(each.spec(), each.name) for each in generators.values())
        told = await asyncio.gather(*specs, return_exceptions=True)
        unread: dict[str, str] = {}
        for name, spec in zip(generators, told, strict=True):
            match spec:
                case GeneratorSpec():
                    self._described[name] = spec
                    continue
                case TriptychError():
                    reason = spec.message
                case Exception():
                    reason = f"{name} cannot tell what it is: {type(spec).__name__}: {spec}"
                    if self._unread.generators.get(name) != reason:
                        _log.error("%s", reason, exc_info=spec)
                case _:
                    raise spec
            if name not in self._described:
                unread[name] = reason
        return unread

    def _able(self, task: Task) -> Sequence[str]:
        able = [model for model in self._models.values() if model.can(task)]
        if task is Task.PROPOSE:
            able.sort(key=lambda model: not (model.generator and model.generator.proposals))
        return [model.name for model in able]

    async def _kept_or_read(self, name: str, parts: Parts, unread: Unread) -> Model:
        known = self._models.get(name)
        unchanged = (self._parts.get(name), self._unread) == (parts, unread)
        if known and unchanged and not known.faults and not known.generator_fault:
            return known
        model = await asyncio.to_thread(read_model, name, parts, self._assets, unread)
        if not known or known.faults != model.faults:
            for reason in model.faults.values():
                _log.error("%s", reason)
        if model.generator_fault and (not known or known.generator_fault != model.generator_fault):
            _log.error("%s", model.generator_fault)
        return model


async def _in_time(answer: Awaitable[T], who: str) -> T:
    """What a generator answers; raises `Unavailable` if it takes its time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await answer
    except TimeoutError:
        raise Unavailable(
            f"{who} did not answer within {ANSWER_S:g} s", reason="GENERATOR_TIMEOUT"
        ) from None
