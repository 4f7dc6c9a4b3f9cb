"""A generator as its generator.json describes it.

A generator lies in a folder of its own: `generator.json`, the decoder's graph `model.onnx` (with
`model.onnx.data` beside it when it is large), its tokenizer and its table of token embeddings.
Unlike encoders it is never read by Triton. The keys of generator.json are fields of `FolderSpec`;
`name` is the folder's. Without `templates` the defaults hold, without `proposals` it proposes no
texts.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

SPEC_FILE = "generator.json"
NETWORK_FILE = "model.onnx"
MOST_EXAMPLES = 64  # that a proposal is asked for with


class SpecError(ValueError):
    """A generator that Triptych cannot serve; the message names generator, file and key."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file beside generator.json, and the digest that it must have."""

    file: PurePath
    sha256: str


@dataclass(frozen=True, slots=True)
class Templates:
    """The forms in which the checkpoint was trained, with `{question}` and `{answer}` to fill in.

    A conversation is its finished turns, each `turn`, and `answer` around the last question, joined
    by `separator` (BLIP-2, arXiv 2301.12597, section 4.1).
    """

    answer: str = "Question: {question} Answer:"
    turn: str = "Question: {question} Answer: {answer}."
    separator: str = " "


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a chat model is asked, with `{question}` to fill in."""

    caption: str = "Describe the picture in one short sentence."
    answer: str = "{question} Answer in one word or a few."


@dataclass(frozen=True, slots=True)
class ProposalTemplates:
    """The form in which a checkpoint was trained to better scored texts.

    A prompt is its examples, worst first, each `example` with `{text}` and, where they stand,
    `{score}` (three decimals) or `{percent}` (a hundred times the score, a whole number from 0 to
    100) filled in, joined by `separator`, and then `ending`; without examples it is `ending` alone.
    The new text is what continues it, up to a separator. It begins with `subject`, `{subject}`
    filled in, where what it is about is given. At most `examples` were in a prompt.
    """

    example: str
    separator: str
    ending: str
    subject: str
    examples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec:
    """What the gateway knows of one generator, whoever runs it.

    `model` is the name that requests use; the encoders of the same checkpoint share it. `space` is
    the `triptych.space` of the encoders whose soft prefixes it takes, empty when it takes none;
    each has `prefix_tokens` positions of `hidden_size` numbers. `max_pictures` are those that it
    sees itself, without a prefix; each takes `prefix_tokens` then, 0 where the number is not known.
    `context_length` counts prompt and text, and is 0 while nobody knows it. A chat model has
    `instructions` and takes conversations; one without continues text, and has `templates`, and
    `proposals` where it was trained to better scored texts.
    `prefix_penalty` says whether the repetition penalty holds after a soft prefix.
    """

    name: str
    model: str
    family: str
    source: str
    precision: str
    context_length: int
    space: str = ""
    prefix_tokens: int = 0
    max_prefixes: int = 0
    hidden_size: int = 0
    max_pictures: int = 0
    beams: bool = False
    scoring: bool = False
    structure: bool = False
    prefix_penalty: bool = True
    templates: Templates = Templates()
    proposals: ProposalTemplates | None = None
    instructions: Instructions | None = None

    @property
    def proposes(self) -> bool:
        """Whether it can be asked for texts that score higher than others."""
        return self.instructions is not None or self.proposals is not None

    @property
    def most_pictures(self) -> int:
        """Pictures that a prompt may hold, seen either way."""
        return max(self.max_prefixes, self.max_pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSpec(GeneratorSpec):
    """A generator as its folder describes it: what its decoder takes, and the files beside it.

    `end_ids` are the tokens that end a text.
    """

    vocabulary: int
    layers: int
    key_value_heads: int
    head_size: int
    begin_id: int | None
    end_ids: tuple[int, ...]
    tokenizer: Asset
    embedding: Asset


def read_spec(folder: Path) -> FolderSpec:
    """Read the generator.json of `folder`; raises `SpecError`."""
    place = f"{folder.name}/{SPEC_FILE}"
    try:
        content = json.loads((folder / SPEC_FILE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"{place}: cannot be read: {error}") from None
    keys = _Keys(place, content)
    vocabulary = keys.integer("vocabulary", 1)
    context_length = keys.integer("context_length", 2)
    space = keys.text("space", empty=True)
    least = 1 if space else 0
    spec = FolderSpec(
        name=folder.name,
        model=keys.text("model"),
        family=keys.text("family"),
        source=keys.text("source"),
        precision=keys.text("precision"),
        space=space,
        prefix_tokens=keys.integer("prefix_tokens", least, context_length - 1),
        max_prefixes=keys.integer("max_prefixes", least, context_length - 1),
        context_length=context_length,
        vocabulary=vocabulary,
        hidden_size=keys.integer("hidden_size", 1),
        layers=keys.integer("layers", 1),
        key_value_heads=keys.integer("key_value_heads", 1),
        head_size=keys.integer("head_size", 1),
        begin_id=keys.token("begin_id", vocabulary),
        end_ids=keys.tokens("end_ids", vocabulary),
        beams=keys.flag("beams"),
        scoring=keys.flag("scoring"),
        templates=_templates(keys),
        proposals=_proposals(keys) if "proposals" in keys else None,
        tokenizer=_asset(keys, "tokenizer"),
        embedding=_asset(keys, "embedding"),
    )
    keys.done()
    return spec


def read_proposals(path: Path) -> ProposalTemplates:
    """Read a file that holds what generator.json has under `proposals`; raises `SpecError`."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"{path.name}: cannot be read: {error}") from None
    return _proposals(_Keys(path.name, {"proposals": content}))


def asset_path(folder: Path, asset: Asset) -> Path:
    """Where `asset` of `folder` lies; raises `SpecError` if it is absent or another file."""
    path = folder / asset.file
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SpecError(f"{folder.name}/{asset.file}: cannot be read: {error}") from None
    if digest != asset.sha256:
        raise SpecError(f"{folder.name}/{asset.file}: its sha256 is not that of {SPEC_FILE}")
    return path


def _templates(keys: "_Keys") -> Templates:
    if "templates" not in keys:
        return Templates()
    inner = keys.inner("templates")
    templates = Templates(
        inner.template("answer", "{question}"),
        inner.template("turn", "{question}", "{answer}"),
        inner.text("separator", empty=True),
    )
    inner.done()
    return templates


def _proposals(keys: "_Keys") -> ProposalTemplates:
    inner = keys.inner("proposals")
    proposals = ProposalTemplates(
        example=inner.template("example", "{text}"),
        separator=inner.text("separator", empty=True),
        ending=inner.text("ending", empty=True),
        subject=inner.template("subject", "{subject}"),
        examples=inner.integer("examples", 0, MOST_EXAMPLES),
    )
    inner.done()
    return proposals


def _asset(keys: "_Keys", key: str) -> Asset:
    inner = keys.inner(key)
    asset = Asset(inner.file("file"), inner.digest("sha256"))
    inner.done()
    return asset


class _Keys:
    """The keys of a JSON object, each checked as it is taken; raises `SpecError` naming it."""

    def __init__(self, place: str, content: object, prefix: str = "") -> None:
        self._place, self._prefix = place, prefix
        if not isinstance(content, dict):
            raise SpecError(f"{place}: {prefix.removesuffix('.') or 'it'} is no JSON object")
        self._left: dict[str, object] = dict(content)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def done(self) -> None:
        """Refuse the keys that nobody took."""
        for key in self._left:
            raise self._error(key, "unknown key")

    def inner(self, key: str) -> "_Keys":
        return _Keys(self._place, self._take(key), f"{self._prefix}{key}.")

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not (value or empty):
            raise self._error(key, f"must be a {'' if empty else 'non-empty '}string")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            raise self._error(key, "must be true or false")
        return value

    def integer(self, key: str, least: int, most: int = 2**31 - 1) -> int:
        return self._integer(key, self._take(key), least, most)

    def token(self, key: str, vocabulary: int) -> int | None:
        value = self._take(key)
        return None if value is None else self._integer(key, value, 0, vocabulary - 1)

    def tokens(self, key: str, vocabulary: int) -> tuple[int, ...]:
        values = self._take(key)
        if not isinstance(values, list):
            raise self._error(key, "must be a list of token ids")
        return tuple(self._integer(key, value, 0, vocabulary - 1) for value in values)

    def template(self, key: str, *places: str) -> str:
        value = self.text(key)
        if any(value.count(place) != 1 for place in places):
            raise self._error(key, f"must contain {' and '.join(places)} once")
        return value

    def file(self, key: str) -> PurePath:
        name = self.text(key)
        if name in (".", "..") or PurePath(name).name != name or "\\" in name or "\0" in name:
            raise self._error(key, "must be the name of a file in the generator's folder")
        return PurePath(name)

    def digest(self, key: str) -> str:
        value = self.text(key)
        if not re.fullmatch("[0-9a-f]{64}", value):
            raise self._error(key, "must be 64 hexadecimal digits in lower case")
        return value

    def _take(self, key: str) -> object:
        if key not in self._left:
            raise self._error(key, "is missing")
        return self._left.pop(key)

    def _integer(self, key: str, value: object, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._error(key, f"must be a whole number from {least} to {most}")
        return value

    def _error(self, key: str, problem: str) -> SpecError:
        return SpecError(f"{self._place}: {self._prefix}{key}: {problem}")
