"""What a server has to take, to count as one that serves its model."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.vllm.calls import COMPLETIONS, encoded, tensor
from triptych_server.engines.generators.vllm.errors import EndpointError
from triptych_server.engines.generators.vllm.model_list import ListedModel

# One that does not answer in that time is given the benefit of the doubt, for a while.
TRIAL_S = 1.0
AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A request to the model that is `served`, which a fit server answers.

    `what` it takes and the `remedy` are for whoever runs a server that refuses it.
    """

    path: str
    body: bytes
    what: str
    remedy: str
    served: ListedModel | None = None


# The trial of a server that answers so when it is asked what it is, if any.
TrialOf = Callable[[Sequence[Any]], Trial | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a trial, and the moment of the monotonic clock `until` which it holds."""

    trial: Trial
    error: EndpointError | None
    until: float = math.inf

    def holds_for(self, trial: Trial) -> bool:
        return trial == self.trial and time.monotonic() < self.until


def no_trial(_: Sequence[Any]) -> None:
    """Of servers that are not tried."""


def embeddings_trial(spec: FolderSpec, model: Mapping[str, str]) -> Trial:
    """Whether a server takes embeddings of the size of `spec`, of which it gets one."""
    embedded = tensor(np.zeros((1, spec.hidden_size), np.float32))
    fields = {**model, "prompt_embeds": embedded, "max_tokens": 1, "temperature": 0}
    return Trial(
        COMPLETIONS,
        encoded(fields),
        what=f"embeddings of {spec.hidden_size} numbers",
        remedy=f"It has to serve {spec.source}, with --enable-prompt-embeds.",
    )
