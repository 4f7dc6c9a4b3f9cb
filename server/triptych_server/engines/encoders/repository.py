"""A model repository on disk, read as Triton reads it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.spec import EncoderSpec, spec_from_config

CONFIG = "config.pbtxt"


class AssetError(ValueError):
    """A file beside a config.pbtxt is missing or is not the one that the config names."""


@dataclass(frozen=True, slots=True)
class RepositoryEntry:
    """One encoder: Triton's `ModelConfig`, what Triptych reads in it, and its newest network."""

    config: Any
    spec: EncoderSpec
    network: Path


def read_config(path: Path) -> Any:
    """Parse a config.pbtxt into Triton's `ModelConfig`; raises `ConfigError`.

    The name may be left out of the file, as for Triton; it is then the folder's.
    """
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(path.read_text("utf-8"), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(f"{path.parent.name}: {CONFIG} cannot be read: {error}") from None
    if config.name not in ("", path.parent.name):
        raise ConfigError(f"{path.parent.name}: {CONFIG} is of another model, {config.name}")
    config.name = path.parent.name
    return config


def read_repository(repository: Path) -> Iterator[tuple[str, RepositoryEntry | ConfigError]]:
    """Every encoder of the repository by name, or why it cannot be served.

    Models without a `triptych.role` are not Triptych's and are passed over.
    """
    for path in sorted(repository.glob(f"*/{CONFIG}")):
        try:
            config = read_config(path)
            if "triptych.role" in config.parameters:
                yield path.parent.name, _entry(config, path.parent)
        except ConfigError as error:
            yield path.parent.name, error


def read_asset(assets: Path, encoder: str, name: str, sha256: str) -> bytes:
    """A file of `encoder` from a directory laid out as the repository; raises `AssetError`."""
    path = assets / encoder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AssetError(f"{encoder}: {name} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise AssetError(f"{encoder}: {name} is not the file that {CONFIG} names (sha256 differs)")
    return content


def _entry(config: Any, folder: Path) -> RepositoryEntry:
    """The highest version counts: Triton's default version policy."""
    versions = [int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()]
    if not versions:
        raise ConfigError(f"{folder.name}: has no version folder")
    version = str(max(versions))
    network = folder / version / (config.default_model_filename or "model.onnx")
    return RepositoryEntry(config, spec_from_config(config, version), network)
