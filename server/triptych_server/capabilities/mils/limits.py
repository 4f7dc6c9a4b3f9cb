"""Where a search ends."""

from dataclasses import dataclass

from triptych_server.capabilities.mils.events import Stop


@dataclass(frozen=True, slots=True)
class Limits:
    """Steps, steps without a better best, and candidates scored. `patience` None: standing still
    does not end it."""

    max_steps: int
    patience: int | None
    max_evaluations: int

    def reached(self, *, steps: int, idle: int, evaluations: int) -> Stop | None:
        """What ends a search after so many steps, the last `idle` of them without a better best."""
        if steps >= self.max_steps:
            return Stop.STEPS
        if evaluations >= self.max_evaluations:
            return Stop.EVALUATIONS
        if self.patience is not None and idle >= self.patience:
            return Stop.PATIENCE
        return None
