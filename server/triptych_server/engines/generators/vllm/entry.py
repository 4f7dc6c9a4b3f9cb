"""A language model on a server of its own, as settings name it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from triptych_server.engines.generators.spec import Instructions


class Style(StrEnum):
    """How prompts reach the model."""

    PROMPT_EMBEDS = "prompt_embeds"
    IMAGE_EMBEDS = "image_embeds"
    CHAT = "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """One model, which the vLLM at each of `urls` serves.

    - `prompt_embeds`: a language model that continues soft prefixes, sent as the embeddings of the
      whole prompt (`vllm serve --enable-prompt-embeds`). `name` is a folder among the generators,
      of which generator.json, the tokenizer and the table of embeddings are needed.
    - `image_embeds`: a whole BLIP-2, sent the soft prefix in place of a picture
      (`vllm serve --enable-mm-embeds`). Needs the same folder, without the table.
    - `chat`: any chat model, sent conversations with up to `pictures` pictures, each of
      `picture_tokens` tokens or, where that is 0, of a number that nobody knows before.
      `template_arguments` go to its chat template.

    `served_name` is what vLLM calls the model; empty for the first that it lists. `api_key` is
    sent as a bearer token.
    """

    name: str
    urls: tuple[str, ...]
    style: Style
    served_name: str = ""
    pictures: int = 0
    picture_tokens: int = 0
    api_key: str = field(default="", repr=False)
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    instructions: Instructions = field(default_factory=Instructions)
