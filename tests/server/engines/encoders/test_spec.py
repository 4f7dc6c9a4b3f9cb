"""What a config.pbtxt must say, role by role."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_blip2 import OF_PATCHES, write_itm, write_prefix, write_vision
from tiny_encoders import write_image_encoder, write_text_encoder
from tritonclient.grpc import model_config_pb2

from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.repository import read_config
from triptych_server.engines.encoders.spec import SIGNATURES, EncoderSpec, Role, spec_from_config

DataType = model_config_pb2.DataType
FLOAT = DataType.TYPE_FP32


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Role, Any]:
    """A sound config of each role; tests change copies."""
    folder = tmp_path_factory.mktemp("roles")
    write_image_encoder(folder / Role.IMAGE)
    write_text_encoder(folder / Role.TEXT)
    write_vision(folder / Role.VISION, "tiny")
    write_prefix(folder / Role.PREFIX, "tiny")
    write_itm(folder / Role.ITM, "tiny")
    found = {Role(path.parent.name): read_config(path) for path in folder.glob("*/config.pbtxt")}
    found[Role.IMAGE_PREFIX] = changed(found[Role.VISION], _to_image_prefix)
    found[Role.ITC_IMAGE] = changed(found[Role.PREFIX], _to_itc_image)
    found[Role.ITC_TEXT] = changed(found[Role.TEXT], _to_itc_text)
    return found


def _to_image_prefix(config: Any) -> None:
    config.name = config.parameters["triptych.role"].string_value = Role.IMAGE_PREFIX
    config.output[0].name = "prefix"
    del config.parameters["triptych.patch_space"]


def _to_itc_image(config: Any) -> None:
    config.name = config.parameters["triptych.role"].string_value = Role.ITC_IMAGE
    config.output[0].name = "features"


def _to_itc_text(config: Any) -> None:
    config.name = config.parameters["triptych.role"].string_value = Role.ITC_TEXT


def changed(config: Any, change: Callable[[Any], object]) -> Any:
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    change(copy)
    return copy


def read(config: Any) -> EncoderSpec:
    return spec_from_config(config, "1")


def refusal(config: Any) -> str:
    try:
        read(config)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("role", Role)
def test_the_spec_tells_what_the_role_takes_and_gives(
    configs: Mapping[Role, Any], role: Role
) -> None:
    spec = read(configs[role])
    inputs = SIGNATURES[role].inputs
    assert spec.role is role
    assert (spec.image is not None) == ("pixels" in inputs)
    assert (spec.text is not None) == ("input_ids" in inputs)
    patches = "patches" in inputs or role is Role.VISION
    assert spec.patches == ((4, 3) if patches else None)
    assert spec.patch_space == (OF_PATCHES["patch_space"] if patches else "")
    assert spec.dimension == (16 if role in (Role.IMAGE, Role.TEXT) else 0)


def test_rows_stand_in_dims_only_without_batches(configs: Mapping[Role, Any]) -> None:
    def unbatched(config: Any) -> None:
        config.max_batch_size = 0
        for tensor in (*config.input, *config.output):
            tensor.dims.insert(0, -1)

    batched = read(configs[Role.VISION])
    free = read(changed(configs[Role.VISION], unbatched))
    assert (free.output, free.image, free.patches) == (
        batched.output,
        batched.image,
        batched.patches,
    )
    assert read(configs[Role.ITM]).output == (2,)


def _without(key: str) -> Callable[[Any], object]:
    return lambda config: config.parameters.pop(f"triptych.{key}")


def _with(key: str, value: str) -> Callable[[Any], object]:
    def change(config: Any) -> None:
        config.parameters[f"triptych.{key}"].string_value = value

    return change


def _output(**fields: Any) -> Callable[[Any], object]:
    def change(config: Any) -> None:
        del config.output[:]
        config.output.add(**fields)

    return change


def _input(position: int, **fields: Any) -> Callable[[Any], object]:
    def change(config: Any) -> None:
        tensor = config.input[position]
        name = tensor.name
        tensor.Clear()
        tensor.MergeFrom(model_config_pb2.ModelInput(**({"name": name} | fields)))

    return change


@pytest.mark.parametrize(
    ("role", "change", "cause"),
    [
        (Role.VISION, _without("patch_space"), r"lacks the parameter triptych\.patch_space"),
        (Role.PREFIX, _without("patch_space"), r"lacks the parameter triptych\.patch_space"),
        (Role.ITM, _without("patch_space"), r"lacks the parameter triptych\.patch_space"),
        (Role.ITC_IMAGE, _without("patch_space"), r"lacks the parameter triptych\.patch_space"),
        (Role.VISION, _without("resize"), r"lacks the parameter triptych\.resize"),
        (Role.IMAGE_PREFIX, _without("resample"), r"lacks the parameter triptych\.resample"),
        (Role.ITM, _without("tokenizer_sha256"), r"lacks the parameter triptych\.tokenizer_sha256"),
        (Role.ITC_TEXT, _without("pad_id"), r"lacks the parameter triptych\.pad_id"),
        (Role.ITM, _with("context_length", "-1"), r"triptych\.context_length is not understood"),
        (Role.VISION, _output(name="features", data_type=FLOAT, dims=[4, 3]), "output `patches`"),
        (Role.VISION, _output(name="patches", data_type=FLOAT, dims=[3]), "2 fixed axes"),
        (Role.VISION, _output(name="patches", data_type=FLOAT, dims=[-1, 3]), "2 fixed axes"),
        (
            Role.PREFIX,
            _output(name="prefix", data_type=DataType.TYPE_FP16, dims=[4, 16]),
            "TYPE_FP32",
        ),
        (Role.ITC_IMAGE, _output(name="features", data_type=FLOAT, dims=[16]), "2 fixed axes"),
        (Role.ITM, _output(name="logits", data_type=FLOAT, dims=[-1, 1]), "two a row"),
        (Role.ITM, _output(name="logits", data_type=FLOAT, dims=[4, 2]), "begin with -1"),
        (Role.ITM, lambda config: setattr(config, "max_batch_size", 8), "max_batch_size 0"),
        (Role.ITM, lambda config: config.input.pop(), "needs the inputs"),
        (Role.PREFIX, lambda config: config.input.add(name="more"), "and no others"),
        (Role.PREFIX, _input(0, data_type=FLOAT, dims=[-1, 3]), r"fixed \[P, W\]"),
        (Role.PREFIX, _input(0, data_type=FLOAT, dims=[3]), "of 2 axes"),
        (Role.VISION, _input(0, data_type=FLOAT, dims=[8, 8, 3]), "TYPE_UINT8"),
        (Role.VISION, _input(0, data_type=DataType.TYPE_UINT8, dims=[8, 8, 4]), r"\[H, W, 3\]"),
        (Role.TEXT, _input(0, data_type=DataType.TYPE_INT32, dims=[-1]), "TYPE_INT64"),
    ],
)
def test_a_config_that_does_not_fit_its_role_says_what_is_wrong(
    configs: Mapping[Role, Any], role: Role, change: Callable[[Any], object], cause: str
) -> None:
    told = refusal(changed(configs[role], change))
    assert re.search(cause, told)
    assert told.startswith(role)


DIMS = st.lists(st.integers(-1, 8), max_size=4)
PARAMETERS = ("resize", "resample", "context_length", "pad_id", "padding", "tokenizer", "score")


@given(
    role=st.sampled_from(Role),
    inputs=st.dictionaries(st.integers(0, 3), DIMS),
    output=st.none() | DIMS,
    parameters=st.dictionaries(st.sampled_from(PARAMETERS), st.text(":,0123456789-x", max_size=8)),
    max_batch_size=st.sampled_from([0, 8]),
)
def test_whatever_a_config_holds_it_is_read_or_refused(
    configs: Mapping[Role, Any],
    role: Role,
    inputs: Mapping[int, list[int]],
    output: list[int] | None,
    parameters: Mapping[str, str],
    max_batch_size: int,
) -> None:
    def change(config: Any) -> None:
        config.max_batch_size = max_batch_size
        for position, dims in inputs.items():
            config.input[position % len(config.input)].dims[:] = dims
        if output is not None:
            config.output[0].dims[:] = output
        for key, value in parameters.items():
            _with(key, value)(config)

    told = refusal(changed(configs[role], change))
    assert told == "" or told.startswith(role)
