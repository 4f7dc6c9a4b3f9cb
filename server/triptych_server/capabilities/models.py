"""The models that requests may name: encoders of one checkpoint, grouped."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Role, Scoring
from triptych_server.errors import InvalidArgument, NotFound, TriptychError, Unavailable
from triptych_server.media.text import TextTokenizer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that can be named in requests. Its encoders share one space."""

    name: str
    specs: Sequence[EncoderSpec]
    encoders: Mapping[Role, EncoderSpec]
    tokenizer: TextTokenizer | None
    # Encoder name -> why it cannot be used, whatever its engine says.
    faults: Mapping[str, str]
    # The same for encoders that may be of this model, but cannot be read.
    unread: Mapping[str, str]

    @property
    def space(self) -> str:
        return self.specs[0].space

    @property
    def dimension(self) -> int:
        return self.specs[0].dimension

    @property
    def scoring(self) -> Scoring | None:
        return next((spec.scoring for spec in self.specs if spec.scoring), None)

    def encoder(self, role: Role) -> EncoderSpec:
        """The encoder of a role; raises `InvalidArgument` if the model has none."""
        if role not in self.encoders and self.unread:
            raise Unavailable(next(iter(self.unread.values())), reason="ENCODER_NOT_LOADED")
        if role not in self.encoders:
            kind = "text" if role is Role.TEXT else "image"
            raise InvalidArgument(
                kind, f"the model {self.name!r} takes no {kind}", reason="MODALITY_NOT_SUPPORTED"
            )
        encoder = self.encoders[role]
        if encoder.name in self.faults:
            raise Unavailable(self.faults[encoder.name], reason="ENCODER_NOT_USABLE")
        return encoder


class ModelCatalog:
    """Discovers the models of an engine. `assets` holds the tokenizers, laid out as the repository.

    A request that names no model gets `default`, or the first by name when that is empty.
    """

    def __init__(self, engine: EncoderEngine, assets: Path, default: str = "") -> None:
        self._engine = engine
        self._assets = assets
        self._default = default
        self._models: dict[str, Model] = {}
        self._unread: dict[str, str] = {}

    async def refresh(self) -> None:
        """Read every encoder's spec again; models that did not change are kept."""
        found: dict[str, list[EncoderSpec]] = {}
        unread: dict[str, str] = {}
        for name in await self._engine.encoders():
            try:
                spec = await self._engine.spec(name)
            except TriptychError as error:
                unread[name] = error.message
                continue
            found.setdefault(spec.model, []).append(spec)
        self._unread = unread
        self._models = {
            name: await self._kept_or_read(name, specs) for name, specs in sorted(found.items())
        }

    @property
    def unread(self) -> Mapping[str, str]:
        """Encoders whose config cannot be read, and why: of which model they are is not known."""
        return self._unread

    @property
    def default(self) -> str:
        """Name of the default model; empty when the repository has none."""
        return self._default or next(iter(self._models), "")

    def list(self) -> list[Model]:
        """All models by name."""
        return list(self._models.values())

    def get(self, name: str) -> Model:
        """The model `name`, or the default for an empty one; raises `NotFound`."""
        model = self._models.get(name or self.default)
        if model is None:
            known = ", ".join(self._models) or "none"
            raise NotFound(
                f"there is no model {name or self.default!r}; the repository has: {known}",
                reason="MODEL_NOT_FOUND",
                field="model",
            )
        return model

    async def check_ready(self, model: Model, encoder: EncoderSpec) -> None:
        """Raise `Unavailable` with the reason unless this encoder can be used now."""
        if encoder.name in model.faults:
            raise Unavailable(model.faults[encoder.name], reason="ENCODER_NOT_USABLE")
        await self._engine.ready(encoder.name)

    async def _kept_or_read(self, name: str, specs: Sequence[EncoderSpec]) -> Model:
        known = self._models.get(name)
        unchanged = known is not None and (known.specs, known.unread) == (specs, self._unread)
        if known is not None and unchanged and not known.faults:
            return known
        model = await asyncio.to_thread(self._read, name, specs)
        if known is None or known.faults != model.faults:
            for reason in model.faults.values():
                _log.error("%s", reason)
        return model

    def _read(self, name: str, specs: Sequence[EncoderSpec]) -> Model:
        encoders = {spec.role: spec for spec in specs}
        faults: dict[str, str] = {}
        tokenizer = None
        text = encoders.get(Role.TEXT)
        if text is not None and text.text is not None:
            try:
                tokenizer = TextTokenizer.read(self._assets, text.name, text.text)
            except ValueError as error:
                faults[text.name] = str(error)
        if reason := _disagreement(name, specs):
            faults = {spec.name: reason for spec in specs}
        return Model(name, specs, encoders, tokenizer, faults, self._unread)


def _disagreement(model: str, specs: Sequence[EncoderSpec]) -> str:
    """Why these encoders cannot be one model; empty if they can."""
    if len({spec.role for spec in specs}) < len(specs):
        names = ", ".join(spec.name for spec in specs)
        return f"{model}: more than one encoder of a role: {names}"
    spaces = {spec.space for spec in specs}
    if len(spaces) > 1:
        return f"{model}: the encoders are of different spaces: {', '.join(sorted(spaces))}"
    return ""
