"""The proposer that is a language model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from triptych_server.capabilities.forms import Inquiry
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.drawing import Drawing
from triptych_server.capabilities.mils.fitting import check_guidance, of_reply, within
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.capabilities.prompting import Scored
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import FailedPrecondition, InvalidArgument

# Examples that a model is shown which was trained on no number of them.
EXAMPLES = 16
# Heat goes no higher than this: then texts are little but noise.
HOTTEST = 2.0

_FIELD = "proposal"


@dataclass(frozen=True, slots=True)
class GeneratorProposer:
    """A `Proposer`; made by `prepared`.

    The model is shown `examples` scored texts, fewer of them (the worst are left out) where its
    context is too short. With `published` its replies are asked for one after the other, or as one
    list where it writes lists, as the published loop does.
    """

    language: LanguageModel
    generation: Generation
    guidance: str
    examples: int
    published: bool

    @classmethod
    async def prepared(
        cls,
        language: LanguageModel,
        generation: Generation,
        *,
        guidance: str = "",
        examples: int = 0,
        published: bool = False,
    ) -> "GeneratorProposer":
        """A proposer after all checks that need no work. `generation` is how one text is written;
        `examples` are shown at most, 0 for as many as the model was trained on, or 16.

        Raises `FailedPrecondition` and `InvalidArgument` about `proposal.guidance`,
        `proposal.max_tokens` or `proposal.model`, and `ResourceExhausted` when the generator has no
        room now.
        """
        trained = language.spec.proposals
        most = trained.examples if trained else examples or EXAMPLES
        shown = min(examples or most, most)
        try:
            await check_guidance(
                language, generation, guidance, lambda told: language.form.proposals([], told)
            )
        except (FailedPrecondition, InvalidArgument) as error:
            raise error.within(_FIELD) from None
        language.check_room()
        return cls(language, generation, guidance, shown, published)

    @property
    def greedy(self) -> bool:
        return self.generation.sampling.temperature == 0

    async def propose(
        self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
    ) -> Proposals:
        shown = [Scored(each.text, each.score) for each in examples]
        shown = shown[max(0, len(shown) - self.examples) :]
        asked = await self._most_that_fit(shown, count if self.published else 1)
        reply = asked.inquiry.reply
        generation = of_reply(self.generation, reply)
        sampling = within(self.language, generation, asked.tokens, _FIELD)
        drawing = Drawing(self.language, asked.inquiry, _heated(sampling, heat), _FIELD)
        if self.published:
            return await drawing.one_by_one(ceil(count / reply.most), [seed])
        return await drawing.side_by_side(count, [seed])

    async def _most_that_fit(self, examples: Sequence[Scored], together: int) -> "_Asked":
        """As many of the best examples as leave room for the reply; none where none do."""

        async def without(worst: int) -> _Asked:
            inquiry = form.proposals(examples[worst:], self.guidance, together=together)
            return _Asked(inquiry, await self.language.count(inquiry.draft, _FIELD))

        form, context = self.language.form, self.language.spec.context_length
        best = None
        too_few, enough = -1, len(examples)
        while enough - too_few > 1:
            # Most often all fit.
            worst = 0 if too_few < 0 else (too_few + enough) // 2
            tried = await without(worst)
            reserve = of_reply(self.generation, tried.inquiry.reply).reserve(context)
            if tried.tokens + reserve <= context:
                best, enough = tried, worst
            else:
                too_few = worst
        return best or await without(enough)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An inquiry, and the tokens of its prompt."""

    inquiry: Inquiry
    tokens: int


def _heated(sampling: Sampling, heat: float) -> Sampling:
    temperature = sampling.temperature
    return replace(sampling, temperature=min(temperature * heat, max(temperature, HOTTEST)))
