"""An encoder as its config.pbtxt describes it.

`config.pbtxt` is Triton's own ModelConfig; what Triton does not know stands in its `parameters`:

| parameter | meaning |
| --- | --- |
| `triptych.model` | the name that requests use; the encoders of one checkpoint share it |
| `triptych.role` | `image_encoder` or `text_encoder` |
| `triptych.family` | architecture: `clip`, `chinese_clip`, `siglip`, `dinov2` |
| `triptych.space` | embedding space: family and digest of weights, tokenizer, preprocessing |
| `triptych.source` | checkpoint and revision |
| `triptych.precision` | `fp32`, `fp16` or `int8` |
| `triptych.resize` | image: `shortest_edge:N` (then a centre crop to the input's size) or `exact` |
| `triptych.resample` | image: `bicubic`, `bilinear`, `lanczos` or `nearest` |
| `triptych.context_length` | text: tokens, special ones included, beyond which text is cut |
| `triptych.pad_id` | text: the token that fills |
| `triptych.padding` | text: `bucket:8,16,...` (the next of these lengths) or `max_length` |
| `triptych.tokenizer` | text: file beside config.pbtxt, in the format of Hugging Face tokenizers |
| `triptych.tokenizer_sha256` | text: its digest |
| `triptych.score` | `softmax` or `sigmoid`; absent when the checkpoint compares no pairs |
| `triptych.logit_scale`, `triptych.logit_bias` | logit = scale x cosine + bias |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

PIXELS = "pixels"
INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
FEATURES = "features"


class ConfigError(ValueError):
    """A config.pbtxt that Triptych cannot serve; the message names encoder and parameter."""


class Role(StrEnum):
    """What an encoder takes."""

    IMAGE = "image_encoder"
    TEXT = "text_encoder"


@dataclass(frozen=True, slots=True)
class ImagePreprocessing:
    """Decoded picture to `pixels` of `[height, width, 3]` uint8.

    With `shortest_edge` the shorter side is resized to it and the centre is cut out; without, both
    sides are resized and nothing is cut.
    """

    height: int
    width: int
    shortest_edge: int | None
    resample: str


@dataclass(frozen=True, slots=True)
class TextPreprocessing:
    """Text to `input_ids` and `attention_mask` of `[L]` int64.

    `lengths` are the values L may take, ascending; the last is the context length.
    """

    context_length: int
    pad_id: int
    lengths: tuple[int, ...]
    tokenizer: PurePath
    tokenizer_sha256: str


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the checkpoint turns a cosine into a logit, and logits into probabilities."""

    kind: str
    logit_scale: float
    logit_bias: float


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What the gateway knows of one encoder."""

    name: str
    model: str
    role: Role
    family: str
    space: str
    source: str
    precision: str
    version: str
    dimension: int
    max_batch_size: int
    image: ImagePreprocessing | None
    text: TextPreprocessing | None
    scoring: Scoring | None


def spec_from_config(config: Any, version: str) -> EncoderSpec:
    """Read a Triton `ModelConfig` message; raises `ConfigError`."""
    parameters = _Parameters(
        config.name, {key: value.string_value for key, value in config.parameters.items()}
    )
    try:
        role = Role(parameters["triptych.role"])
    except ValueError as error:
        raise ConfigError(f"{config.name}: triptych.role: {error}") from None
    output = next((o for o in config.output if o.name == FEATURES), None)
    if output is None or len(output.dims) != 1:
        raise ConfigError(f"{config.name}: needs an output `{FEATURES}` of one dimension")
    return EncoderSpec(
        name=config.name,
        model=parameters["triptych.model"],
        role=role,
        family=parameters["triptych.family"],
        space=parameters["triptych.space"],
        source=parameters["triptych.source"],
        precision=parameters["triptych.precision"],
        version=version,
        dimension=output.dims[0],
        max_batch_size=config.max_batch_size,
        image=_image(config, parameters) if role is Role.IMAGE else None,
        text=_text(parameters) if role is Role.TEXT else None,
        scoring=_scoring(parameters),
    )


class _Parameters:
    """The string parameters of one config, with errors that name the encoder and the key."""

    def __init__(self, encoder: str, values: Mapping[str, str]) -> None:
        self._encoder = encoder
        self._values = values

    def __getitem__(self, key: str) -> str:
        if not self._values.get(key):
            raise ConfigError(f"{self._encoder}: config.pbtxt lacks the parameter {key}")
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return bool(self._values.get(key))

    def integer(self, key: str) -> int:
        return int(self._number(key, int))

    def real(self, key: str) -> float:
        return float(self._number(key, float))

    def _number(self, key: str, kind: type[int] | type[float]) -> float:
        try:
            return kind(self[key])
        except ValueError:
            raise ConfigError(f"{self._encoder}: {key} is not a number: {self[key]!r}") from None

    def invalid(self, key: str) -> ConfigError:
        return ConfigError(f"{self._encoder}: {key} is not understood: {self[key]!r}")


def _image(config: Any, parameters: _Parameters) -> ImagePreprocessing:
    pixels = next((i for i in config.input if i.name == PIXELS), None)
    if pixels is None or len(pixels.dims) != 3 or min(pixels.dims) < 1 or pixels.dims[2] != 3:
        raise ConfigError(f"{config.name}: needs an input `{PIXELS}` of fixed [H, W, 3]")
    kind, _, edge = parameters["triptych.resize"].partition(":")
    if not (kind == "exact" and not edge) and not (kind == "shortest_edge" and edge.isdecimal()):
        raise parameters.invalid("triptych.resize")
    if parameters["triptych.resample"] not in {"nearest", "bilinear", "bicubic", "lanczos"}:
        raise parameters.invalid("triptych.resample")
    height, width, _ = pixels.dims
    if edge and int(edge) < max(height, width):
        raise parameters.invalid("triptych.resize")
    return ImagePreprocessing(
        height=height,
        width=width,
        shortest_edge=int(edge) if edge else None,
        resample=parameters["triptych.resample"],
    )


def _text(parameters: _Parameters) -> TextPreprocessing:
    context_length = parameters.integer("triptych.context_length")
    kind, _, buckets = parameters["triptych.padding"].partition(":")
    if kind == "max_length":
        lengths: tuple[int, ...] = (context_length,)
    elif kind == "bucket" and all(part.strip().isdecimal() for part in buckets.split(",")):
        shorter = {int(part) for part in buckets.split(",")}
        lengths = (*sorted(n for n in shorter if 0 < n < context_length), context_length)
    else:
        raise parameters.invalid("triptych.padding")
    tokenizer = PurePath(parameters["triptych.tokenizer"])
    if tokenizer.name != str(tokenizer):
        raise parameters.invalid("triptych.tokenizer")
    return TextPreprocessing(
        context_length=context_length,
        pad_id=parameters.integer("triptych.pad_id"),
        lengths=lengths,
        tokenizer=tokenizer,
        tokenizer_sha256=parameters["triptych.tokenizer_sha256"],
    )


def _scoring(parameters: _Parameters) -> Scoring | None:
    if "triptych.score" not in parameters:
        return None
    kind = parameters["triptych.score"]
    if kind not in {"softmax", "sigmoid"}:
        raise parameters.invalid("triptych.score")
    bias = "triptych.logit_bias" in parameters
    return Scoring(
        kind=kind,
        logit_scale=parameters.real("triptych.logit_scale"),
        logit_bias=parameters.real("triptych.logit_bias") if bias else 0.0,
    )
