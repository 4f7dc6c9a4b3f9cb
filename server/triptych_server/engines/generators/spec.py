"""A generator as its generator.json describes it.

A generator lies in a folder of its own: `generator.json`, the decoder's graph, its tokenizer and its
table of token embeddings. Unlike encoders it is never read by Triton.
"""

from dataclasses import dataclass
from pathlib import PurePath


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
class GeneratorSpec:
    """What the gateway knows of one generator.

    `model` is the name that requests use; the encoders of the same checkpoint share it. `space` is
    the `triptych.space` of the encoders whose soft prefixes it takes, empty when it takes none;
    each has `prefix_tokens` positions of `hidden_size` numbers. `context_length` counts prompt and
    text. `end_ids` are the tokens that end a text.
    """

    name: str
    model: str
    family: str
    source: str
    precision: str
    space: str
    prefix_tokens: int
    max_prefixes: int
    context_length: int
    vocabulary: int
    hidden_size: int
    layers: int
    key_value_heads: int
    head_size: int
    begin_id: int | None
    end_ids: tuple[int, ...]
    beams: bool
    scoring: bool
    templates: Templates
    tokenizer: Asset
    embedding: Asset
