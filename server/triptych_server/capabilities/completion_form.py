"""The form of models that continue text, by the templates of their checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from triptych_server.capabilities.forms import Inquiry, Place, Said, Sight
from triptych_server.capabilities.prompting import (
    Scored,
    Turn,
    continuation,
    conversation_prompt,
    fill,
    one_line,
    proposal_prompt,
    question_prompt,
)
from triptych_server.capabilities.replies import Line
from triptych_server.engines.generators.protocol import Prompt, SoftPrefix
from triptych_server.engines.generators.spec import ProposalTemplates, Templates
from triptych_server.media.content import Text


@dataclass(frozen=True, slots=True)
class CompletionDraft:
    """Pictures, and then a text."""

    text: str
    pictures: Sequence[int]

    @property
    def words(self) -> Prompt:
        return [Text(self.text)]

    def prompt(self, sights: Sequence[Sight]) -> Prompt:
        return [*_soft(sights), Text(self.text)]

    def continuation(self, text: str) -> str:
        return continuation(self.text, text)


@dataclass(frozen=True, slots=True)
class CompletionForm:
    """Pictures stand before all text, wherever people put them: BLIP-2 learnt no other order. So
    those of messages that are left out stay. Models without `proposal_templates` are not asked for
    new texts."""

    templates: Templates
    proposal_templates: ProposalTemplates | None = None

    def caption(self, beginning: str) -> CompletionDraft:
        return CompletionDraft(beginning, [0])

    def question(self, question: str) -> CompletionDraft:
        return CompletionDraft(question_prompt(self.templates, question), [0])

    def conversation(self, said: Sequence[Said], left_out: int) -> CompletionDraft:
        *texts, last = map(_text, said[left_out:])
        turns = [Turn(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
        pictures = [part.picture for part in chain(*said) if isinstance(part, Place)]
        return CompletionDraft(conversation_prompt(self.templates, turns, last), pictures)

    def proposals(
        self, examples: Sequence[Scored], guidance: str = "", *, together: int = 1
    ) -> Inquiry:
        templates = self._for_proposals(guidance)
        prompt = proposal_prompt(templates, examples)
        return Inquiry(CompletionDraft(prompt, []), Line(stop=_stop(templates)))

    def subject(self, subject: str, guidance: str = "") -> Inquiry:
        templates = self._for_proposals(guidance)
        beginning = fill(templates.subject, subject=one_line(subject))
        prompt = proposal_prompt(templates, [])
        draft = CompletionDraft(prompt + continuation(prompt, beginning), [])
        return Inquiry(draft, Line(beginning, stop=_stop(templates)))

    def _for_proposals(self, guidance: str) -> ProposalTemplates:
        assert self.proposal_templates is not None, "asked of models that propose"
        assert not guidance, "told to models that do what they are told"
        return self.proposal_templates


def _stop(templates: ProposalTemplates) -> Sequence[str]:
    """What comes after a text; spaces alone part words as well."""
    return [templates.separator] if templates.separator.strip(" ") else []


def _soft(sights: Sequence[Sight]) -> Iterator[SoftPrefix]:
    for sight in sights:
        assert isinstance(sight, SoftPrefix), "who continues text sees through encoders"
        yield sight


def _text(said: Said) -> str:
    return " ".join(part.text.strip() for part in said if isinstance(part, Text))
