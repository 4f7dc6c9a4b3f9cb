"""Inquiries within the context of a model."""

from collections.abc import Callable
from dataclasses import replace

from triptych_server.capabilities.forms import Inquiry
from triptych_server.capabilities.generation import Generation, prompt_too_long
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.replies import Reply
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import FailedPrecondition, InvalidArgument


async def check_guidance(
    language: LanguageModel,
    generation: Generation,
    guidance: str,
    asking: Callable[[str], Inquiry],
) -> None:
    """Raise for guidance that a model cannot follow, or a text that it has no room for, whatever
    it is asked: `FailedPrecondition` and `InvalidArgument` about `guidance`, `max_tokens` or
    `model`. `asking` gives the shortest inquiry with some guidance."""
    spec = language.spec
    if guidance and spec.instructions is None:
        raise FailedPrecondition(
            f"the model {spec.model!r} only continues text: it takes no guidance",
            reason="GUIDANCE_NOT_SUPPORTED",
            field="guidance",
        )
    tokens = await language.count(asking("").draft, "model")
    within(language, generation, tokens, "model")
    if guidance:
        tokens = await language.count(asking(guidance).draft, "guidance")
        if tokens + generation.reserve(spec.context_length) > spec.context_length:
            raise prompt_too_long(spec, "guidance", tokens)


def of_reply(generation: Generation, reply: Reply) -> Generation:
    """How to generate a reply, by how to generate one text."""
    sampling = replace(generation.sampling, stop=reply.stop, structure=reply.structure)
    if reply.most == 1:
        return replace(generation, sampling=sampling)
    tokens = reply.most * sampling.max_tokens
    return Generation(replace(sampling, max_tokens=tokens), flexible=True)


def within(language: LanguageModel, generation: Generation, tokens: int, field: str) -> Sampling:
    """As `Generation.within`, but about `max_tokens` where these are too many."""
    try:
        return generation.within(language.spec, tokens, field)
    except InvalidArgument as error:
        raise (error if error.field == field else error.at("max_tokens")) from None
