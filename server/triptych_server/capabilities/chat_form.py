"""The form of chat models: messages, and instructions in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from triptych_server.capabilities.chat_wording import proposals_message, subject_message
from triptych_server.capabilities.forms import Inquiry, Place, Said, Sight
from triptych_server.capabilities.prompting import Scored, fill
from triptych_server.capabilities.replies import Caption, Captions, Line, Lines, Reply
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Message,
    Picture,
    Prompt,
    SoftPrefix,
    Speaker,
)
from triptych_server.engines.generators.spec import Instructions
from triptych_server.media.content import Text

_SIDES = (Speaker.USER, Speaker.ASSISTANT)


@dataclass(frozen=True, slots=True)
class ChatDraft:
    """Messages: the user's and the assistant's in turn."""

    messages: Sequence[Said]

    @property
    def pictures(self) -> Sequence[int]:
        return [part.picture for said in self.messages for part in said if isinstance(part, Place)]

    @property
    def words(self) -> Prompt:
        return self._filled({})

    def prompt(self, sights: Sequence[Sight]) -> Prompt:
        return self._filled(dict(zip(self.pictures, sights, strict=True)))

    def continuation(self, text: str) -> str:
        return text.strip()

    def _filled(self, sights: Mapping[int, Sight]) -> ChatPrompt:
        return ChatPrompt(
            [
                Message(_SIDES[position % 2], list(_parts(said, sights)))
                for position, said in enumerate(self.messages)
            ]
        )


@dataclass(frozen=True, slots=True)
class ChatForm:
    """Pictures stand where people put them, and go with their message when it is left out. Models
    with `structured` replies write new texts as JSON."""

    instructions: Instructions
    structured: bool = False

    def caption(self, beginning: str) -> ChatDraft:
        asked: Said = [Place(0), Text(self.instructions.caption)]
        return ChatDraft([asked, [Text(beginning)]] if beginning else [asked])

    def question(self, question: str) -> ChatDraft:
        asked = fill(self.instructions.answer, question=question.strip())
        return ChatDraft([[Place(0), Text(asked)]])

    def conversation(self, said: Sequence[Said], left_out: int) -> ChatDraft:
        return ChatDraft(said[left_out:])

    def proposals(
        self, examples: Sequence[Scored], guidance: str = "", *, together: int = 1
    ) -> Inquiry:
        reply = self._reply(together)
        return _inquiry(proposals_message(examples, guidance, reply), reply)

    def subject(self, subject: str, guidance: str = "") -> Inquiry:
        reply = self._reply(1)
        return _inquiry(subject_message(subject, guidance, reply), reply)

    def _reply(self, texts: int) -> Reply:
        if self.structured:
            return Caption() if texts == 1 else Captions(texts)
        return Line() if texts == 1 else Lines(texts)


def _inquiry(message: str, reply: Reply) -> Inquiry:
    return Inquiry(ChatDraft([[Text(message)]]), reply)


def _parts(said: Said, sights: Mapping[int, Sight]) -> Iterator[Text | Picture]:
    """A message as the model gets it: texts beside each other joined by a space, and without the
    pictures that were not seen."""
    shown = [part for part in said if isinstance(part, Text) or part.picture in sights]
    for is_text, group in groupby(shown, lambda part: isinstance(part, Text)):
        if is_text:
            yield Text(" ".join(part.text.strip() for part in group if isinstance(part, Text)))
            continue
        for part in group:
            assert isinstance(part, Place), "what is no text"
            sight = sights[part.picture]
            assert not isinstance(sight, SoftPrefix), "a chat model sees by itself"
            yield sight
