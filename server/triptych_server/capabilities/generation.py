"""Text from a generator, within its context."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import (
    Cost,
    Delta,
    Finish,
    Generator,
    Prompt,
    Sampling,
)
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import FailedPrecondition, Internal, InvalidArgument

# What a prompt that can be shortened leaves of the context to a text of no given length.
SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Generation:
    """How to generate. `flexible` says that `max_tokens` is a default, and gives way where the
    context is full."""

    sampling: Sampling
    flexible: bool

    def check_supported(self, spec: GeneratorSpec) -> None:
        """Raise `FailedPrecondition` for what the generator cannot do."""
        if self.sampling.beams > 1 and not spec.beams:
            raise FailedPrecondition(
                f"the model {spec.model!r} does no beam search",
                reason="BEAMS_NOT_SUPPORTED",
                field="generation.num_beams",
            )

    def reserve(self, context_length: int) -> int:
        """Tokens for which a prompt that can be shortened makes room: all of `max_tokens`, or no
        more of them than a share of the context where they may give way."""
        if not self.flexible:
            return self.sampling.max_tokens
        share = min(self.sampling.max_tokens, int(context_length * SHARE))
        return max(share, self.sampling.min_tokens, 1)

    def within(self, spec: GeneratorSpec, prompt_tokens: int, field: str) -> Sampling:
        """The sampling with as many tokens as the context has room for after the prompt.

        Raises `InvalidArgument` about `field`, the prompt's, if it leaves no room for a text, and
        about `generation.max_tokens` if it leaves less room than these.
        """
        room = spec.context_length - prompt_tokens
        least = max(self.sampling.min_tokens, 1)
        if room < least:
            raise prompt_too_long(spec, field, f"{prompt_tokens:,} tokens, pictures included")
        if not self.flexible and self.sampling.max_tokens > room:
            raise InvalidArgument(
                "generation.max_tokens",
                f"must be at most {room:,}: the prompt has {prompt_tokens:,} tokens, "
                f"and the model's context is of {spec.context_length:,}",
                reason="EXCEEDS_CONTEXT",
            )
        return replace(self.sampling, max_tokens=min(self.sampling.max_tokens, room))


def prompt_too_long(spec: GeneratorSpec, field: str, size: str) -> InvalidArgument:
    """What is raised for a prompt of a size like `513 tokens`."""
    return InvalidArgument(
        field,
        f"makes a prompt of {size}: too long for the model's context of "
        f"{spec.context_length:,} tokens",
        reason="PROMPT_TOO_LONG",
    )


@dataclass(frozen=True, slots=True)
class Completion:
    """One text. `log_probability` is that of its `tokens`, the end of text included."""

    text: str
    tokens: int
    log_probability: float
    finish: Finish


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of prompts and of texts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def sum(cls, usages: Iterable["Usage"]) -> "Usage":
        every = list(usages)
        return cls(
            sum(usage.prompt_tokens for usage in every),
            sum(usage.completion_tokens for usage in every),
        )


class Progress:
    """A request to a generator, made now, while its texts come in."""

    def __init__(self) -> None:
        self._submitted_ns = time.monotonic_ns()
        self._texts: dict[int, Completion] = {}
        self._cost: Cost | None = None

    def add(self, delta: Delta) -> None:
        """Take the next piece of a text."""
        known = self._texts.get(delta.index, Completion("", 0, 0.0, Finish.LENGTH))
        self._texts[delta.index] = Completion(
            known.text + delta.text,
            known.tokens + delta.tokens,
            known.log_probability + delta.log_probability,
            delta.finish or known.finish,
        )
        self._cost = delta.cost or self._cost

    @property
    def completions(self) -> list[Completion]:
        """The texts, by index."""
        return [self._texts[index] for index in sorted(self._texts)]

    @property
    def usage(self) -> Usage:
        return Usage(self._final.prompt_tokens, sum(each.tokens for each in self.completions))

    @property
    def times(self) -> StageTimes:
        return StageTimes.of_generation(self._final, self._submitted_ns)

    @property
    def _final(self) -> Cost:
        if self._cost is None:
            raise Internal("the generator did not end its texts", reason="GENERATOR_FAILED")
        return self._cost


async def generate(generator: Generator, prompt: Prompt, sampling: Sampling) -> Progress:
    """All texts of one request, ended. The prompt has been found to fit."""
    progress = Progress()
    try:
        async for delta in generator.generate(prompt, sampling):
            progress.add(delta)
    except InvalidArgument as error:
        raise mismatch(generator, error) from error
    return progress


def mismatch(generator: Generator, error: InvalidArgument) -> Internal:
    """What a refusal means when the caller's part of the prompt was found to be in order."""
    return Internal(
        f"{generator.name} refuses what its spec asks for: {error}", reason="GENERATOR_MISMATCH"
    )
