"""What a gateway computes with: frozen values, as in `types`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encoder:
    """One network of a model.

    `role` says what it takes and gives, such as `image_encoder`, `text_encoder`, `image_prefix` or
    `itm`; `state_reason` says why it is not `ready`. Encoders of pictures have an `image_size`
    (rows, columns) that needs no resizing, encoders of text a `context_length` in tokens; 0 stands
    for the other kind.
    """

    name: str
    role: str
    version: str
    precision: str
    max_batch_size: int
    ready: bool
    state_reason: str
    image_size: tuple[int, int]
    context_length: int


@dataclass(frozen=True, slots=True)
class Generator:
    """The language model of a model.

    `context_length` are tokens of prompt and text together, `image_tokens` those of one picture, of
    which a prompt may hold `max_images`; 0 stands for what is not known, and with `max_images` for
    one that chats in words alone. `beam_search` and `choices` say whether it searches with beams
    and tells how likely given answers are, `chat` whether it takes conversations as such,
    `proposals` whether it writes texts that score higher than others; `state_reason` why it is not
    `ready`.
    """

    family: str
    precision: str
    context_length: int
    image_tokens: int
    max_images: int
    beam_search: bool
    choices: bool
    ready: bool
    state_reason: str
    chat: bool = False
    proposals: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """One checkpoint. Only vectors of models with equal `space` may be compared.

    `default` tells that it is used, for what it can do, where a call names no model. `generator` is
    None for models that do not write text.
    """

    name: str
    family: str
    space: str
    dimension: int
    source: str
    default: bool
    encoders: tuple[Encoder, ...]
    generator: Generator | None = None

    @property
    def ready(self) -> bool:
        """Whether every encoder, and the generator if there is one, can be used now."""
        writes = self.generator is None or self.generator.ready
        return writes and all(encoder.ready for encoder in self.encoders)
