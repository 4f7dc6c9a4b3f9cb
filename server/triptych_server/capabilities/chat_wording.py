"""What chat models are told when they are asked for new texts.

All of it is the user's message: some models take no system message. What is the same for all steps
of a search comes first, so that a server that keeps prefixes computes it once.
"""

from collections.abc import Iterator, Sequence

from triptych_server.capabilities.prompting import Scored, one_line, score
from triptych_server.capabilities.replies import Caption, Captions, Line, Reply

_SEARCH = (
    "Something is hidden from you, and you are to find the words that describe it best. Every "
    "description that was tried has a score. A higher score is better: the description fits better."
)
_RULES = (
    "Each new description should score higher than all that were tried. Compare them: keep what "
    "the best ones share, drop what only low ones say, and change or add a detail or two.",
    "It must differ from every description that was tried.",
    "It is short: one plain sentence or phrase, about what can be seen.",
    "It says nothing about scores, descriptions or guesses.",
)
_ABOUT = "Write one short caption, as for a photo: a plain sentence or phrase about what is seen."


def proposals_message(examples: Sequence[Scored], guidance: str, reply: Reply) -> str:
    """Asks for texts that score higher than the examples, which come worst first."""
    listed = [f"{score(each)} {one_line(each.text)}" for each in examples]
    wanted = f"Write {reply.most} new descriptions, all different."
    return "\n".join(
        [
            _SEARCH,
            *(f"- {rule}" for rule in _RULES),
            _form(reply),
            *_guided(guidance),
            "",
            *(["Tried so far, the best last:", *listed] if listed else ["None was tried so far."]),
            "",
            "Write a new description." if reply.most == 1 else wanted,
        ]
    )


def subject_message(subject: str, guidance: str, reply: Reply) -> str:
    """Asks for a caption about a subject."""
    return "\n".join([_ABOUT, _form(reply), *_guided(guidance), "", f"About: {one_line(subject)}"])


def _guided(guidance: str) -> Iterator[str]:
    if guidance.strip():
        yield f"What else is wanted: {guidance.strip()}"


def _form(reply: Reply) -> str:
    match reply:
        case Caption():
            return 'Answer with JSON of the form {"caption": "..."} and nothing else.'
        case Captions():
            return 'Answer with JSON of the form {"captions": ["...", "..."]} and nothing else.'
        case Line():
            return "Answer with the text alone, on one line."
    return "Answer with the texts alone, each on a line of its own, without numbers."
