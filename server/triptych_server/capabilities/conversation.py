"""A conversation as a prompt, shortened to a model's context."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych_server.capabilities.generation import prompt_too_long
from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.prompting import Turn, conversation_prompt
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import Content, Image, Text

# What the user and the assistant said in turn; the first and the last message are the user's.
Conversation = Sequence[Sequence[Content]]

# No token is longer: what has more characters is too long without being tokenised.
_CHARACTERS_PER_TOKEN = 256


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a conversation, and the path of its content."""

    image: Image
    field: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a conversation as a prompt; `tokens` counts its pictures too."""

    text: str
    tokens: int
    trimmed_messages: int


def pictures_of(conversation: Conversation, spec: GeneratorSpec) -> list[Picture]:
    """The pictures in their order; raises `InvalidArgument` if they are more than a model takes."""
    pictures = [
        Picture(content, f"messages[{i}].contents[{j}]")
        for i, contents in enumerate(conversation)
        for j, content in enumerate(contents)
        if not isinstance(content, Text)
    ]
    if len(pictures) > spec.max_prefixes:
        raise InvalidArgument(
            pictures[spec.max_prefixes].field,
            f"the model {spec.model!r} takes {spec.max_prefixes} pictures a conversation, "
            f"this one has {len(pictures)}",
            reason="TOO_MANY_IMAGES",
        )
    return pictures


async def longest_that_fits(
    language: LanguageModel, conversation: Conversation, *, pictures: int, reserve: int
) -> Excerpt:
    """As many of the last turns as, with all `pictures`, leave `reserve` tokens of the context.

    The last message is never left out, though it may leave less; `InvalidArgument` is raised if it
    has more characters than a context can hold.
    """
    spec = language.spec
    turns = _recent_turns(conversation, spec)
    dropped = len(conversation) // 2 - len(turns)
    last = _text(conversation[-1])

    async def without(oldest: int) -> Excerpt:
        text = conversation_prompt(spec.templates, turns[oldest:], last)
        tokens = await language.count(text, pictures=pictures)
        return Excerpt(text, tokens, 2 * (dropped + oldest))

    best = None
    too_few, enough = -1, len(turns)
    while enough - too_few > 1:
        oldest = 0 if too_few < 0 else (too_few + enough) // 2  # most conversations fit whole
        tried = await without(oldest)
        if tried.tokens + reserve <= spec.context_length:
            best, enough = tried, oldest
        else:
            too_few = oldest
    return best or await without(enough)


def _recent_turns(conversation: Conversation, spec: GeneratorSpec) -> list[Turn]:
    """The last turns, without those that nobody needs to tokenise to know that they do not fit."""
    most = spec.context_length * _CHARACTERS_PER_TOKEN
    size = _size(conversation[-1])
    if size > most:
        last = f"messages[{len(conversation) - 1}]"
        raise prompt_too_long(spec, last, size // _CHARACTERS_PER_TOKEN, at_least=True)
    turns: list[Turn] = []
    for question in range(len(conversation) - 3, -1, -2):
        asked, said = conversation[question : question + 2]
        size += _size(asked) + _size(said)
        if size > most:
            break
        turns.append(Turn(_text(asked), _text(said)))
    return turns[::-1]


def _size(contents: Sequence[Content]) -> int:
    return sum(len(content.text) for content in contents if isinstance(content, Text))


def _text(contents: Sequence[Content]) -> str:
    return " ".join(content.text.strip() for content in contents if isinstance(content, Text))
