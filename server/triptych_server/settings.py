"""Everything that can be configured, in one frozen object.

Sources, the later ones win: defaults, a TOML file (`--config`), environment variables
(`TRIPTYCH_PORT=8080`), command-line flags.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from triptych_server.remote_generators import RemoteGenerator, Urls, check_tables

MIB = 1024 * 1024
SHIPPED_REPOSITORY = Path(__file__).parent / "model_repository"


class SettingsError(ValueError):
    """Settings that are refused; `faults` says of each, by its name, why."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = faults


class Service(StrEnum):
    """A service that a gateway may run; ModelService, health and reflection always do."""

    EMBEDDING = "embedding"
    MILS = "mils"
    SEARCH = "search"
    VISION_LANGUAGE = "vision_language"


class Settings(BaseSettings):
    """Settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="TRIPTYCH_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of Prometheus' metrics; 0 takes a free one."
    )
    services: Annotated[frozenset[Service], NoDecode] = Field(
        frozenset(Service),
        min_length=1,
        description="What to run, separated by commas; without `search` no data directory is used.",
    )
    data: Path = Field(Path("data"), description="Directory of the collections.")
    repository: Path = Field(SHIPPED_REPOSITORY, description="Model repository.")
    encoders: str = Field(
        "onnx",
        description="`onnx`, `triton://HOST:PORT` for all addresses of a name, or "
        "`triton://IP:PORT,IP:PORT`.",
    )
    assets: Path | None = Field(
        None, description="Directory of tokenizers for a remote Triton; default: the repository."
    )
    generators: Path | None = Field(
        None,
        description="Directory of generators; default: `generators` beside the repository, "
        "or beside the assets where those are given.",
    )
    generator: Annotated[Urls, NoDecode] = Field(
        (),
        description="`http://HOST:PORT` of a vLLM, or of several that serve the same, separated by "
        "commas: whatever it serves is a model. Default: generators run in process.",
    )
    pools: Path | None = Field(
        None,
        description="Directory of seed pools; default: `seed_pools` beside the repository, or "
        "beside the assets where those are given.",
    )
    generator_api_key_env: str = Field(
        "", description="Environment variable that holds its API key; default: it has none."
    )
    remote_generators: tuple[RemoteGenerator, ...] = Field(
        (), description="Models on vLLM that need more than `generator` says; see RemoteGenerator."
    )
    default_model: str = Field(
        "", description="Model that embeds where requests name none; default: the first that can."
    )
    default_vision_language_model: str = Field(
        "", description="Model of captions, answers and chat; default: the first that can."
    )
    default_matcher: str = Field(
        "", description="Model of image-text matching; default: the first that can."
    )
    default_proposer: str = Field(
        "",
        description="Model that proposes captions; default: the first made for it, or the first "
        "chat model.",
    )
    threads: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=1024,
        description="Worker threads of the in-process engines, each; default: the cores.",
    )
    queue_rows: int = Field(1024, ge=1, description="Rows that may wait for the engine.")
    generator_queue: int = Field(128, ge=1, description="Requests that may wait for a generator.")
    generator_cache_bytes: int = Field(
        1024 * MIB, ge=MIB, description="Keys and values that a generator holds of running texts."
    )
    text_cache_bytes: int = Field(
        64 * MIB, ge=0, description="Vectors of texts that are kept from one search to the next."
    )
    max_picture_side: int = Field(
        1344,
        ge=64,
        le=8192,
        description="Pixels of the longer side of a picture for models that see by themselves; "
        "larger ones are shrunk.",
    )
    max_message_bytes: int = Field(64 * MIB, ge=MIB, description="Largest request and response.")
    max_calls: int = Field(1024, ge=1, description="RPCs of one request handled at once.")
    max_call_bytes: int = Field(
        512 * MIB, ge=MIB, description="Bytes of their requests handled at once."
    )
    max_streams: int = Field(64, ge=1, description="Streams of requests open at once.")
    max_stream_bytes: int = Field(
        512 * MIB, ge=MIB, description="Bytes of stream requests read ahead, over all streams."
    )
    max_deadline_s: float = Field(
        300.0, gt=0, description="Longest time that an RPC of one request may take."
    )
    wakeup_latency_us: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Longest time that a core may take to wake; see `wakeup`. Default: unbounded.",
    )
    drain_s: float = Field(30.0, ge=0, description="Time that running RPCs get at shutdown.")

    @field_validator("services", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A variable and a flag hold one string; a TOML file may hold a list."""
        if isinstance(value, str):
            return [name for part in value.split(",") if (name := part.strip())]
        return value

    @field_validator("encoders")
    @classmethod
    def _names_an_engine(cls, value: str) -> str:
        if not re.fullmatch(r"onnx|triton://[^/\s]+", value):
            raise ValueError("must be onnx, triton://HOST:PORT or triton://IP:PORT,IP:PORT")
        return value

    @field_validator("remote_generators")
    @classmethod
    def _each_has_a_server(
        cls, tables: tuple[RemoteGenerator, ...], info: ValidationInfo
    ) -> tuple[RemoteGenerator, ...]:
        check_tables(tables, info.data.get("generator", ()))
        return tables

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, config: Path | None = None, **flags: Any) -> "Settings":
        """Read all sources; flags that are None are absent. Raises `ValueError`, a
        `SettingsError` for single settings."""
        given = {name: value for name, value in flags.items() if value is not None}

        class _WithFile(cls):  # type: ignore[misc, valid-type]
            model_config = SettingsConfigDict(toml_file=config)

        if config is not None and not config.is_file():
            raise ValueError(f"no such file: {config}")
        try:
            read = _WithFile(**given)
            return cls.model_construct(**{name: getattr(read, name) for name in cls.model_fields})
        except ValidationError as error:
            faults = {".".join(map(str, e["loc"])): _told(e) for e in error.errors()}
            raise SettingsError(faults) from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{config} is no TOML: {error}") from None


def _told(error: ErrorDetails) -> str:
    """What is wrong with a setting, without its value: that may be a secret."""
    match error["type"]:
        case "extra_forbidden":
            return "there is no such setting"
        case "missing":
            return "is missing"
        case "string_pattern_mismatch":
            return f"must match {error['ctx']['pattern']}"
        case "too_short":
            return "must not be empty"
        case "tuple_type":
            return "must be a list"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return message.replace("Input should be", "must be")
