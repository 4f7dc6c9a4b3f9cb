"""A conversation as a prompt, shortened to a model's context."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.capabilities.forms import Draft, Place, Said
from triptych_server.capabilities.generation import prompt_too_long
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import Content, Image, Text

# What the user and the assistant said in turn; the first and the last message are the user's.
Conversation = Sequence[Sequence[Content]]

# No token is longer: what has more characters is too long without being tokenised.
_CHARACTERS_PER_TOKEN = 256


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a conversation, and the path of its content."""

    image: Image
    field: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A conversation with its pictures apart: places have their numbers."""

    said: Sequence[Said]
    pictures: Sequence[Shown]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a conversation, to be continued; `tokens` counts its pictures too."""

    draft: Draft
    tokens: int
    trimmed_messages: int


def hear(conversation: Conversation, spec: GeneratorSpec) -> Heard:
    """Take the pictures out; raises `InvalidArgument` if they are more than a model takes."""
    said: list[Said] = []
    pictures: list[Shown] = []
    for i, contents in enumerate(conversation):
        parts: list[Text | Place] = []
        for j, content in enumerate(contents):
            if isinstance(content, Text):
                parts.append(content)
            else:
                parts.append(Place(len(pictures)))
                pictures.append(Shown(content, f"messages[{i}].contents[{j}]"))
        said.append(parts)
    if len(pictures) > spec.most_pictures:
        raise InvalidArgument(
            pictures[spec.most_pictures].field,
            f"the model {spec.model!r} takes {spec.most_pictures} pictures a conversation, "
            f"this one has {len(pictures)}",
            reason="TOO_MANY_IMAGES",
        )
    return Heard(said, pictures)


async def longest_that_fits(
    language: LanguageModel, said: Sequence[Said], *, reserve: int
) -> Excerpt:
    """As many of the last turns as leave `reserve` tokens of the context.

    The last message is never left out, though it may leave less; `InvalidArgument` is raised if it
    has more characters than a context can hold.
    """
    context = language.spec.context_length
    dropped = _beyond_any_context(said, language.spec)

    async def without(turns: int) -> Excerpt:
        draft = language.form.conversation(said, 2 * turns)
        tokens = await language.count(draft, f"messages[{len(said) - 1}]")
        return Excerpt(draft, tokens, 2 * turns)

    best = None
    too_few, enough = dropped - 1, len(said) // 2
    while enough - too_few > 1:
        # Most conversations fit whole.
        turns = dropped if too_few < dropped else (too_few + enough) // 2
        tried = await without(turns)
        if tried.tokens + reserve <= context:
            best, enough = tried, turns
        else:
            too_few = turns
    return best or await without(enough)


def _beyond_any_context(said: Sequence[Said], spec: GeneratorSpec) -> int:
    """Turns at the beginning that nobody needs to tokenise to know that they do not fit."""
    most = spec.context_length * _CHARACTERS_PER_TOKEN
    last = len(said) - 1
    size = _size(said[last])
    if size > most:
        tokens = size // _CHARACTERS_PER_TOKEN
        raise prompt_too_long(spec, f"messages[{last}]", tokens, at_least=True)
    for question in range(last - 2, -1, -2):
        size += _size(said[question]) + _size(said[question + 1])
        if size > most:
            return question // 2 + 1
    return 0


def _size(said: Said) -> int:
    return sum(len(part.text) for part in said if isinstance(part, Text))
