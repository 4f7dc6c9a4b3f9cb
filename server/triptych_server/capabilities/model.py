"""A model that requests may name, and what it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triptych_server.capabilities.agreement import encoders_disagree, generators_disagree
from triptych_server.capabilities.tasks import WRITING, Task, roles_for
from triptych_server.capabilities.unread import Unread
from triptych_server.engines.encoders import EncoderSpec, Role, Scoring
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import FailedPrecondition, InvalidArgument, Unavailable
from triptych_server.media.text import TextTokenizer


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
        encodes = bool(roles_for(task, self.encoders))
        if task not in WRITING:
            return encodes
        if self.generator is None:
            return False
        if task is Task.PROPOSE:
            return self.generator.proposes
        talks = task is Task.CHAT and self.generator.instructions is not None
        return encodes or talks or self.generator.max_pictures > 0

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
class Parts:
    """What was found under one model's name."""

    encoders: list[EncoderSpec] = field(default_factory=list)
    generators: list[GeneratorSpec] = field(default_factory=list)


def read_model(name: str, parts: Parts, assets: Path, unread: Unread) -> Model:
    """The model of these parts; `assets` holds the tokenizers of encoders."""
    specs = parts.encoders
    faults: dict[str, str] = {}
    tokenizers: dict[Role, TextTokenizer] = {}
    for spec in specs:
        if spec.text is None:
            continue
        try:
            tokenizers[spec.role] = TextTokenizer.read(assets, spec.name, spec.text)
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
