"""How a language model is asked: a form for each kind of model, and what is asked before pictures
are seen.

A model that continues text has the form of its templates (`completion_form`), a chat model that of
its instructions (`chat_form`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from triptych_server.capabilities.prompting import Scored
from triptych_server.capabilities.replies import Reply
from triptych_server.engines.generators.protocol import Picture, Prompt, SoftPrefix
from triptych_server.media.content import Text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture stands; `picture` is its number among those of the request."""

    picture: int


# One message of a conversation: its texts and pictures in their order.
Said = Sequence[Text | Place]

# What a picture is to a model.
Sight = SoftPrefix | Picture


class Draft(Protocol):
    """A prompt whose pictures are not seen yet."""

    @property
    def pictures(self) -> Sequence[int]:
        """Numbers of the pictures that it shows, in their order."""
        ...

    @property
    def words(self) -> Prompt:
        """The prompt without its pictures, to be counted."""
        ...

    def prompt(self, sights: Sequence[Sight]) -> Prompt:
        """The prompt, with what its `pictures` are to the model."""
        ...

    def continuation(self, text: str) -> str:
        """`text` as the model would write it after this prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What asks for new texts, without pictures, and how they stand in the reply."""

    draft: Draft
    reply: Reply


class Form(Protocol):
    """How one model is asked."""

    def caption(self, beginning: str) -> Draft:
        """What is continued to a caption of one picture that begins with these words."""
        ...

    def question(self, question: str) -> Draft:
        """What is continued to the answer to a question about one picture."""
        ...

    def conversation(self, said: Sequence[Said], left_out: int) -> Draft:
        """What is continued to the reply to a conversation whose first messages, an even number,
        are left out. The user's and the assistant's take turns; the last is the user's."""
        ...

    def proposals(
        self, examples: Sequence[Scored], guidance: str = "", *, together: int = 1
    ) -> Inquiry:
        """What asks for a text that scores higher than the examples, which come worst first. A
        model that writes lists is asked for so many in one reply `together`."""
        ...

    def subject(self, subject: str, guidance: str = "") -> Inquiry:
        """What asks for a caption about a subject. Models that only continue text take no
        guidance, here and above."""
        ...
