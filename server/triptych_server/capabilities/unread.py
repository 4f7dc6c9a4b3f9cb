"""What a server has and cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triptych_server.capabilities.tasks import ENCODING, WRITING, Task
from triptych_server.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Unread:
    """Encoders and generators that cannot be read, and servers that have not said which generators
    they run, with the reasons. Of which model these are is unknown. `engine` is why encoders were
    never listed; empty when they were."""

    encoders: Mapping[str, str] = field(default_factory=dict)
    generators: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""

    def check(self, task: Task | None) -> None:
        """Raise `Unavailable` if one of them may be needed for a task, None being any."""
        if task is None or task in ENCODING:
            if self.engine:
                raise Unavailable(self.engine)
            for reason in self.encoders.values():
                raise Unavailable(reason, reason="ENCODER_NOT_LOADED")
        if task is None or task in WRITING:
            for reason in (*self.generators.values(), *self.servers.values()):
                raise Unavailable(reason, reason="GENERATOR_NOT_LOADED")

    def check_name(self, name: str, task: Task | None) -> None:
        """Raise `Unavailable` if a model that nobody knows may be of this name, none being any."""
        if not name or self.engine:
            self.check(task)
        if name in self.generators:
            raise Unavailable(self.generators[name], reason="GENERATOR_NOT_LOADED")
        if task is None or task in WRITING:
            for reason in self.servers.values():
                raise Unavailable(reason, reason="GENERATOR_NOT_LOADED")
