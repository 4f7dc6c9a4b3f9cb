"""An encoder as its config.pbtxt describes it.

`config.pbtxt` is Triton's own ModelConfig; what Triton does not know stands in its `parameters`:

| parameter | meaning |
| --- | --- |
| `triptych.model` | the name that requests use; the encoders of one checkpoint share it |
| `triptych.role` | one of `Role` |
| `triptych.family` | architecture: `clip`, `chinese_clip`, `siglip`, `dinov2`, `blip_2` |
| `triptych.space` | embedding space: family and digest of weights, tokenizer, preprocessing |
| `triptych.source` | checkpoint and revision |
| `triptych.precision` | `fp32`, `fp16`, `bf16` or `int8` |
| `triptych.keep_fp32` | layers that stay in fp32 where `triptych.precision` has 16 bits |
| `triptych.resize` | pixels: `shortest_edge:N` (then a centre crop to the size) or `exact` |
| `triptych.resample` | pixels: `bicubic`, `bilinear`, `lanczos` or `nearest` |
| `triptych.patch_space` | patches: digest of the vision tower and its preprocessing |
| `triptych.context_length` | text: tokens, special ones included, beyond which text is cut |
| `triptych.pad_id` | text: the token that fills |
| `triptych.padding` | text: `bucket:8,16,...` (the next of these lengths) or `max_length` |
| `triptych.tokenizer` | text: file beside config.pbtxt, in the format of Hugging Face tokenizers |
| `triptych.tokenizer_sha256` | text: its digest |
| `triptych.score` | `softmax` or `sigmoid`; absent when the checkpoint compares no pairs |
| `triptych.logit_scale`, `triptych.logit_bias` | logit = scale x cosine + bias |

Parameters of pixels, patches and text belong to the roles that take or give them:

| role | takes | gives, a row |
| --- | --- | --- |
| `image_encoder` | `pixels` | `features` [D] of unit length |
| `text_encoder` | `input_ids`, `attention_mask` | `features` [D] of unit length |
| `vision` | `pixels` | `patches` [P, W] |
| `prefix` | `patches` | `prefix` [Q, H], which a language model continues |
| `image_prefix` | `pixels` | `prefix` [Q, H] |
| `itm` | `patches`, `input_ids`, `attention_mask`, `image_index` | `logits` [2]: no match, match |
| `itc_image` | `patches` | `features` [Q, D], each of unit length |
| `itc_text` | `input_ids`, `attention_mask` | `features` [D] of unit length |

Rows are the first axis of every tensor and stand in `dims` only when `max_batch_size` is 0, as for
Triton. They are then not batched, and inputs may have different numbers of rows: `itm` compares
text i with picture `image_index[i]`, so that the patches of a picture cross the wire once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from tritonclient.grpc import model_config_pb2

from triptych_server.engines.encoders.parameters import ConfigError, Parameters

PIXELS = "pixels"
PATCHES = "patches"
INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
IMAGE_INDEX = "image_index"
FEATURES = "features"
PREFIX = "prefix"
LOGITS = "logits"


class Role(StrEnum):
    """What an encoder takes and gives."""

    IMAGE = "image_encoder"
    TEXT = "text_encoder"
    VISION = "vision"
    PREFIX = "prefix"
    IMAGE_PREFIX = "image_prefix"
    ITM = "itm"
    ITC_IMAGE = "itc_image"
    ITC_TEXT = "itc_text"


@dataclass(frozen=True, slots=True)
class Signature:
    """The tensors of a role by name; `axes` are those of one row of the output."""

    inputs: frozenset[str]
    output: str
    axes: int


_TEXT = frozenset({INPUT_IDS, ATTENTION_MASK})
SIGNATURES: Mapping[Role, Signature] = {
    Role.IMAGE: Signature(frozenset({PIXELS}), FEATURES, 1),
    Role.TEXT: Signature(_TEXT, FEATURES, 1),
    Role.VISION: Signature(frozenset({PIXELS}), PATCHES, 2),
    Role.PREFIX: Signature(frozenset({PATCHES}), PREFIX, 2),
    Role.IMAGE_PREFIX: Signature(frozenset({PIXELS}), PREFIX, 2),
    Role.ITM: Signature(_TEXT | {PATCHES, IMAGE_INDEX}, LOGITS, 1),
    Role.ITC_IMAGE: Signature(frozenset({PATCHES}), FEATURES, 2),
    Role.ITC_TEXT: Signature(_TEXT, FEATURES, 1),
}
# Type and axes of one row of each input.
_INPUTS = {
    PIXELS: ("TYPE_UINT8", 3),
    PATCHES: ("TYPE_FP32", 2),
    INPUT_IDS: ("TYPE_INT64", 1),
    ATTENTION_MASK: ("TYPE_INT64", 1),
    IMAGE_INDEX: ("TYPE_INT64", 0),
}


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
    """What the gateway knows of one encoder.

    `output` is the shape of one row of its output, and `patches` that of the patches of one picture
    which it takes or gives. Patches of equal `patch_space` may be exchanged between checkpoints.
    """

    name: str
    model: str
    role: Role
    family: str
    space: str
    source: str
    precision: str
    version: str
    max_batch_size: int
    output: tuple[int, ...]
    image: ImagePreprocessing | None
    text: TextPreprocessing | None
    scoring: Scoring | None
    patches: tuple[int, ...] | None
    patch_space: str

    @property
    def dimension(self) -> int:
        """Numbers of the vector that it embeds into; 0 for roles that do not embed."""
        return self.output[0] if self.role in (Role.IMAGE, Role.TEXT) else 0


def spec_from_config(config: Any, version: str) -> EncoderSpec:
    """Read a Triton `ModelConfig` message; raises `ConfigError`."""
    parameters = Parameters(
        config.name, {key: value.string_value for key, value in config.parameters.items()}
    )
    try:
        role = Role(parameters["triptych.role"])
    except ValueError as error:
        raise ConfigError(f"{config.name}: triptych.role: {error}") from None
    inputs = _inputs(config, role)
    output = _output(config, role)
    patches = output if role is Role.VISION else inputs.get(PATCHES)
    return EncoderSpec(
        name=config.name,
        model=parameters["triptych.model"],
        role=role,
        family=parameters["triptych.family"],
        space=parameters["triptych.space"],
        source=parameters["triptych.source"],
        precision=parameters["triptych.precision"],
        version=version,
        max_batch_size=config.max_batch_size,
        output=output,
        image=_image(config, inputs[PIXELS], parameters) if PIXELS in inputs else None,
        text=_text(parameters) if INPUT_IDS in inputs else None,
        scoring=_scoring(parameters),
        patches=patches,
        patch_space=parameters["triptych.patch_space"] if patches else "",
    )


def _inputs(config: Any, role: Role) -> Mapping[str, tuple[int, ...]]:
    """The shape of one row of each input."""
    names = SIGNATURES[role].inputs
    if {tensor.name for tensor in config.input} != names:
        wanted = ", ".join(f"`{name}`" for name in sorted(names))
        raise ConfigError(f"{config.name}: needs the inputs {wanted}, and no others")
    if role is Role.ITM and config.max_batch_size:
        raise ConfigError(f"{config.name}: needs max_batch_size 0, for texts share pictures")
    rows = {tensor.name: _row(config, tensor) for tensor in config.input}
    for tensor in config.input:
        kind, axes = _INPUTS[tensor.name]
        if _type(tensor) != kind or len(rows[tensor.name]) != axes:
            raise ConfigError(
                f"{config.name}: the input `{tensor.name}` must be {kind} of {axes} axes a row"
            )
    if min(rows.get(PATCHES, (1,))) < 1:
        raise ConfigError(f"{config.name}: needs an input `{PATCHES}` of fixed [P, W]")
    return rows


def _output(config: Any, role: Role) -> tuple[int, ...]:
    """The shape of one row of the output."""
    name, axes = SIGNATURES[role].output, SIGNATURES[role].axes
    tensor = next((each for each in config.output if each.name == name), None)
    row = () if tensor is None else _row(config, tensor)
    if len(row) != axes or min(row) < 1 or _type(tensor) != "TYPE_FP32":
        raise ConfigError(
            f"{config.name}: needs an output `{name}`, TYPE_FP32 of {axes} fixed axes a row"
        )
    if role is Role.ITM and row != (2,):
        raise ConfigError(f"{config.name}: `{name}` must be two a row: no match, match")
    return row


def _type(tensor: Any) -> str:
    return str(model_config_pb2.DataType.Name(tensor.data_type))


def _row(config: Any, tensor: Any) -> tuple[int, ...]:
    """`dims` without the rows, which stand in them only when `max_batch_size` is 0."""
    if config.max_batch_size:
        return tuple(tensor.dims)
    if not tensor.dims or tensor.dims[0] != -1:
        raise ConfigError(
            f"{config.name}: with max_batch_size 0 the dims of `{tensor.name}` must begin with -1"
        )
    return tuple(tensor.dims[1:])


def _image(config: Any, pixels: Sequence[int], parameters: Parameters) -> ImagePreprocessing:
    if min(pixels) < 1 or pixels[2] != 3:
        raise ConfigError(f"{config.name}: needs an input `{PIXELS}` of fixed [H, W, 3]")
    kind, _, edge = parameters["triptych.resize"].partition(":")
    if not (kind == "exact" and not edge) and not (kind == "shortest_edge" and edge.isdecimal()):
        raise parameters.invalid("triptych.resize")
    if parameters["triptych.resample"] not in {"nearest", "bilinear", "bicubic", "lanczos"}:
        raise parameters.invalid("triptych.resample")
    height, width, _ = pixels
    if edge and int(edge) < max(height, width):
        raise parameters.invalid("triptych.resize")
    return ImagePreprocessing(
        height=height,
        width=width,
        shortest_edge=int(edge) if edge else None,
        resample=parameters["triptych.resample"],
    )


def _text(parameters: Parameters) -> TextPreprocessing:
    context_length = parameters.integer("triptych.context_length")
    if context_length < 1:
        raise parameters.invalid("triptych.context_length")
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


def _scoring(parameters: Parameters) -> Scoring | None:
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
