"""Texts drawn after one prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from triptych_server.capabilities.completions import Completion, Usage
from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.forms import Inquiry
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.capabilities.replies import Reply
from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.generators.protocol import Finish, Sampling
from triptych_server.errors import FailedPrecondition

# Replies of one request: so many that their prompt is seldom computed anew, and so few that they
# find room beside what others ask for.
GROUP = 16


@dataclass(frozen=True, slots=True)
class Drawing:
    """What asks for texts, and how they are written. The field `blamed` is at fault where the
    server of a chat model refuses the prompt; `patience` waits for room."""

    language: LanguageModel
    inquiry: Inquiry
    sampling: Sampling
    blamed: str
    patience: Patience = field(default_factory=lambda: Patience(begun=True))

    async def side_by_side(self, replies: int, seed: Sequence[int]) -> Proposals:
        """Replies that share the prompt. Equal seeds, numbers from 0 on, give equal texts."""
        starts = range(0, replies, GROUP)
        groups = (self._group(start, min(GROUP, replies - start), seed) for start in starts)
        return joined(await run_all(groups))

    async def one_by_one(self, replies: int, seed: Sequence[int]) -> Proposals:
        """Replies one after the other."""
        parts = [await self._group(position, 1, seed) for position in range(replies)]
        times = StageTimes()
        for part in parts:
            times = times.then(part.times)
        return replace(joined(parts), times=times)

    async def _group(self, start: int, size: int, seed: Sequence[int]) -> Proposals:
        """The replies from number `start` on, in one request if the generator can hold it."""
        sampling = replace(self.sampling, n=size, seed=_mixed(*seed, start))
        prompt = self.inquiry.draft.prompt([])
        try:
            written = await self.patience.admitted(
                lambda: self.language.write(prompt, sampling, self.blamed)
            )
        except FailedPrecondition as error:
            if size == 1 or error.reason != "EXCEEDS_GENERATOR_MEMORY":
                raise
            middle = size // 2
            halves = ((start, middle), (start + middle, size - middle))
            return joined(await run_all(self._group(*half, seed) for half in halves))
        texts, unparsed = _read(written.completions, self.inquiry.reply)
        return Proposals(texts, unparsed, written.usage, written.times)


def joined(parts: Iterable[Proposals]) -> Proposals:
    """What was written side by side."""
    every = list(parts)
    return Proposals(
        [text for part in every for text in part.texts],
        sum(part.unparsed for part in every),
        Usage.sum(part.usage for part in every),
        StageTimes.longest(part.times for part in every),
    )


def _read(completions: Sequence[Completion], reply: Reply) -> tuple[list[str], int]:
    """The texts that are understood, and how many are not. What was cut short is not."""
    texts = [
        text
        for completion in completions
        for text in (reply.read(completion.text) if completion.finish is Finish.STOP else [None])
    ]
    understood = [text for text in texts if text is not None]
    return understood, len(texts) - len(understood)


def _mixed(*numbers: int) -> int:
    """One seed of several: neighbours are as different as any."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
