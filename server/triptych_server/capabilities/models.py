"""The models that requests may name: encoders of one checkpoint, grouped."""

import asyncio
import logging
from collections.abc import Mapping
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
    encoders: Mapping[Role, EncoderSpec]
    tokenizer: TextTokenizer | None
    # Encoder name -> why it cannot be used, whatever its engine says.
    faults: Mapping[str, str]

    @property
    def any_encoder(self) -> EncoderSpec:
        return next(iter(self.encoders.values()))

    @property
    def space(self) -> str:
        return self.any_encoder.space

    @property
    def dimension(self) -> int:
        return self.any_encoder.dimension

    @property
    def scoring(self) -> Scoring | None:
        return next((s.scoring for s in self.encoders.values() if s.scoring), None)

    def encoder(self, role: Role) -> EncoderSpec:
        """The encoder of a role; raises `InvalidArgument` if the model has none."""
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

    async def refresh(self) -> None:
        """Read every encoder's spec again."""
        found: dict[str, dict[Role, EncoderSpec]] = {}
        for name in await self._engine.encoders():
            try:
                spec = await self._engine.spec(name)
            except TriptychError as error:
                _log.error("encoder %s is left out: %s", name, error)
                continue
            found.setdefault(spec.model, {})[spec.role] = spec
        self._models = {
            name: await asyncio.to_thread(self._model, name, encoders)
            for name, encoders in sorted(found.items())
        }
        if self._default and self._default not in self._models:
            _log.error("the default model %r is not in the repository", self._default)

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

    def _model(self, name: str, encoders: Mapping[Role, EncoderSpec]) -> Model:
        faults: dict[str, str] = {}
        spaces = {spec.space for spec in encoders.values()}
        if len(spaces) > 1:
            reason = f"{name}: the encoders are of different spaces: {', '.join(sorted(spaces))}"
            faults = {spec.name: reason for spec in encoders.values()}
        tokenizer = None
        text = encoders.get(Role.TEXT)
        if text is not None and text.text is not None:
            try:
                tokenizer = TextTokenizer.read(self._assets, text.name, text.text)
            except ValueError as error:
                faults.setdefault(text.name, str(error))
        for reason in faults.values():
            _log.error("%s", reason)
        return Model(name, encoders, tokenizer, faults)
