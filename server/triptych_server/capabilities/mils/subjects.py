"""Captions about subjects, with no target: what seed pools are made of."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.drawing import Drawing, joined
from triptych_server.capabilities.mils.fitting import check_guidance, of_reply, within
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.capabilities.mils.texts import distinct
from triptych_server.capabilities.timing import StageTimes

# Subjects of one call under way at once: enough to fill a batch, few beside those of other calls.
SIDE_BY_SIDE = 16


@dataclass(frozen=True, slots=True)
class About:
    """`texts` has the captions of each subject, all different; `unparsed` replies were not
    understood."""

    texts: Sequence[Sequence[str]]
    unparsed: int
    usage: Usage
    times: StageTimes


async def propose_about(
    language: LanguageModel,
    generation: Generation,
    subjects: Sequence[str],
    count: int,
    *,
    seed: int,
    guidance: str = "",
) -> About:
    """Write `count` captions about each subject. Equal calls with equal seeds give equal texts.

    Raises `FailedPrecondition` and `InvalidArgument` about `guidance`, `max_tokens`, `model` or
    `subjects[i]` before any work, and `ResourceExhausted` when there is room for none of the
    subjects; if there is for one, the others wait for it.
    """
    form, patience = language.form, Patience()

    async def drawing(position: int, subject: str) -> Drawing:
        inquiry, field = form.subject(subject, guidance), f"subjects[{position}]"
        tokens = await language.count(inquiry.draft, field)
        sampling = within(language, of_reply(generation, inquiry.reply), tokens, field)
        return Drawing(language, inquiry, sampling, field, patience)

    async def in_turn(position: int, drawing: Drawing) -> Proposals:
        async with room:
            return await drawing.side_by_side(count, [seed, position])

    await check_guidance(language, generation, guidance, lambda told: form.subject("", told))
    drawings = await run_all(drawing(*each) for each in enumerate(subjects))
    language.check_room()
    room = asyncio.Semaphore(SIDE_BY_SIDE)
    parts = await run_all(in_turn(*each) for each in enumerate(drawings))
    whole = joined(parts)
    texts = [list(distinct(part.texts, str).values()) for part in parts]
    return About(texts, whole.unparsed, whole.usage, whole.times)
