"""Language models on servers of their own, as the settings name them."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from triptych_server.engines.generators.spec import Instructions
from triptych_server.engines.generators.vllm.entry import RemoteModel, Style

MODEL_NAME = r"[\w.-]{1,128}"


def _split(value: Any) -> Any:
    """A variable and a flag hold one string; a TOML file may hold a list."""
    if isinstance(value, str):
        return [url for part in value.split(",") if (url := part.strip())]
    return value


def _checked(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Without the slash that may end them."""
    checked = tuple(url.removesuffix("/") for url in urls)
    for url in checked:
        parts = urlsplit(url)
        try:
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # of a port that is no number
            sound = False
        if "@" in url:  # not to be repeated: it may hold a password
            raise ValueError("must have no user and no password; name a key by api_key_env")
        if not sound or url != f"{parts.scheme}://{parts.netloc}" or re.search(r"\s", url):
            raise ValueError(f"must be http://HOST:PORT, without a path; is {url!r}")
    if len(set(checked)) < len(checked):
        raise ValueError("must name each server once")
    return checked


Urls = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_checked)]

_INSTRUCTIONS = Instructions()


class RemoteGenerator(BaseModel):
    """One table of `remote_generators`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=f"^{MODEL_NAME}$",
        description="What requests call the model. With prompt_embeds and image_embeds the folder "
        "among the generators, whose model it is.",
    )
    urls: Urls = Field(
        (),
        description="`http://HOST:PORT` of every vLLM that serves the model; default: `generator`.",
    )
    style: Style = Field(
        Style.CHAT,
        description="How it is asked: chat, prompt_embeds (vllm serve --enable-prompt-embeds) or "
        "image_embeds (vllm serve --enable-mm-embeds).",
    )
    served_name: str = Field(
        "", description="What vLLM calls the model; default: the first that it lists."
    )
    pictures: int = Field(
        0, ge=0, le=64, description="With chat: pictures that a conversation may have."
    )
    picture_tokens: int = Field(
        0,
        ge=0,
        description="With chat: tokens that a picture takes at most, so that conversations with "
        "pictures are shortened in time; default: not known, and such a conversation is refused "
        "when it is too long.",
    )
    api_key_env: str = Field(
        "", description="Environment variable that holds vLLM's API key; default: it has none."
    )
    caption_instruction: str = Field(
        _INSTRUCTIONS.caption, min_length=1, description="With chat: what asks for a caption."
    )
    answer_instruction: str = Field(
        _INSTRUCTIONS.answer,
        description="With chat: what asks a question about a picture; holds {question} once.",
    )
    template_arguments: Mapping[str, Any] = Field(
        default_factory=dict,
        description="With chat: arguments of the chat template, such as enable_thinking = false.",
    )

    @model_validator(mode="after")
    def _for_chat(self) -> "RemoteGenerator":
        if self.answer_instruction.count("{question}") != 1:
            raise ValueError("answer_instruction must hold {question} once")
        if self.style is not Style.CHAT and (self.pictures or self.picture_tokens):
            raise ValueError(f"pictures are for the style chat; {self.style} takes one by itself")
        return self

    def model(self, urls: Sequence[str], environment: Mapping[str, str]) -> RemoteModel:
        """The entry that an engine takes, by default on the servers `urls`. Raises `ValueError`."""
        return RemoteModel(
            name=self.name,
            urls=self.urls or tuple(urls),
            style=self.style,
            served_name=self.served_name,
            pictures=self.pictures,
            picture_tokens=self.picture_tokens,
            api_key=api_key(self.api_key_env, environment),
            template_arguments=self.template_arguments,
            instructions=Instructions(self.caption_instruction, self.answer_instruction),
        )


def api_key(variable: str, environment: Mapping[str, str]) -> str:
    """What an environment variable holds, empty without one. Raises `ValueError`, without the
    key, if it is not set or cannot be sent."""
    if not variable:
        return ""
    key = environment.get(variable, "")
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError(f"the environment variable {variable} must hold an API key")
    return key


def check_tables(tables: Sequence[RemoteGenerator], urls: Sequence[str]) -> None:
    """Raise `ValueError` if two have one name, or one has no server."""
    names = [table.name for table in tables]
    for table in tables:
        if names.count(table.name) > 1:
            raise ValueError(f"more than one has the name {table.name}")
        if not table.urls and not urls:
            raise ValueError(f"{table.name} has no urls, and there is no `generator`")
