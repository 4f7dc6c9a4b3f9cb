"""What is asked of a generator, within its context."""

from dataclasses import dataclass, replace

from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import FailedPrecondition, InvalidArgument

# What a prompt that can be shortened leaves of the context to a text of no given length.
TEXT_SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Generation:
    """How to generate. `flexible` says that `max_tokens` is a default, and gives way where the
    context is full."""

    sampling: Sampling
    flexible: bool

    def check_supported(self, spec: GeneratorSpec, *, pictures: int) -> None:
        """Raise `FailedPrecondition` for what the generator cannot do after so many pictures."""
        if self.sampling.beams > 1 and not spec.beams:
            raise FailedPrecondition(
                f"the model {spec.model!r} does no beam search",
                reason="BEAMS_NOT_SUPPORTED",
                field="generation.num_beams",
            )
        if self.sampling.repetition_penalty != 1 and pictures and not spec.prefix_penalty:
            raise FailedPrecondition(
                f"the model {spec.model!r} has no repetition penalty for prompts with pictures",
                reason="PENALTY_NOT_SUPPORTED",
                field="generation.repetition_penalty",
            )

    def reserve(self, context_length: int) -> int:
        """Tokens for which a prompt that can be shortened makes room: all of `max_tokens`, or no
        more of them than a share of the context where they may give way."""
        if not self.flexible:
            return self.sampling.max_tokens
        share = min(self.sampling.max_tokens, int(context_length * TEXT_SHARE))
        return max(share, self.sampling.min_tokens, 1)

    def within(self, spec: GeneratorSpec, prompt_tokens: int, field: str) -> Sampling:
        """The sampling with as many tokens as the context has room for after the prompt.

        Raises `InvalidArgument` about `field`, the prompt's, if it leaves no room for a text, and
        about `generation.max_tokens` if it leaves less room than these.
        """
        room = spec.context_length - prompt_tokens
        least = max(self.sampling.min_tokens, 1)
        if room < least:
            raise prompt_too_long(spec, field, prompt_tokens)
        if not self.flexible and self.sampling.max_tokens > room:
            raise InvalidArgument(
                "generation.max_tokens",
                f"must be at most {room:,}: the prompt has {prompt_tokens:,} tokens, "
                f"and the model's context is of {spec.context_length:,}",
                reason="EXCEEDS_CONTEXT",
            )
        return replace(self.sampling, max_tokens=min(self.sampling.max_tokens, room))


def prompt_too_long(
    spec: GeneratorSpec, field: str, tokens: int, *, at_least: bool = False
) -> InvalidArgument:
    """What is raised for a prompt of so many tokens; `at_least` says that they are not all."""
    return InvalidArgument(
        field,
        f"makes a prompt of {'at least ' if at_least else ''}{tokens:,} tokens, pictures included: "
        f"too long for the model's context of {spec.context_length:,}",
        reason="PROMPT_TOO_LONG",
    )
