"""BLIP-2's encoders with the contracts of real ones, in a few nodes of arithmetic.

The patches of a picture are the mean colours of its quarters, and a text matches a picture when it
names its colour: `red` and a red picture give logits 0 and 8, `red` and a green one 0 and -8.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tiny_encoders import network, write_encoder

SIDE = 8
PATCHES, WIDTH = 4, 3
PREFIX, HIDDEN = 4, 16
SPACE = "blip_2:0123456789abcdef"

WORDS = {
    "[PAD]": (0, 0, 0),
    "[UNK]": (0, 0, 0),
    "red": (8, -8, -8),
    "green": (-8, 8, -8),
    "blue": (-8, -8, 8),
    "bright": (8, 8, 8),
}
CONTEXT = 32
TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: position for position, word in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
    }
).encode()

COMMON = {"family": "blip_2", "space": SPACE}
PICTURES = {"resize": "exact", "resample": "bicubic"}
OF_PATCHES = {"patch_space": "sha256-of-the-vision-tower"}
TEXTS = {
    "context_length": str(CONTEXT),
    "pad_id": "0",
    "padding": "bucket:8,16",
    "tokenizer": "tokenizer.json",
    "tokenizer_sha256": hashlib.sha256(TOKENIZER).hexdigest(),
}

VISION_INPUTS = 'input { name: "pixels" data_type: TYPE_UINT8 dims: [ 8, 8, 3 ] }'
VISION_OUTPUT = 'output { name: "patches" data_type: TYPE_FP32 dims: [ 4, 3 ] }'
PREFIX_INPUTS = 'input { name: "patches" data_type: TYPE_FP32 dims: [ 4, 3 ] }'
PREFIX_OUTPUT = 'output { name: "prefix" data_type: TYPE_FP32 dims: [ 4, 16 ] }'
ITM_INPUTS = """
input { name: "patches" data_type: TYPE_FP32 dims: [ -1, 4, 3 ] }
input { name: "input_ids" data_type: TYPE_INT64 dims: [ -1, -1 ] }
input { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1, -1 ] }
input { name: "image_index" data_type: TYPE_INT64 dims: [ -1 ] }
"""
ITM_OUTPUT = 'output { name: "logits" data_type: TYPE_FP32 dims: [ -1, 2 ] }'


def write_matcher(repository: Path, model: str) -> None:
    """Write `{model}-vision` and `{model}-itm`."""
    write_vision(repository / f"{model}-vision", model)
    write_itm(repository / f"{model}-itm", model)


def write_vision(folder: Path, model: str, parameters: Mapping[str, str] = OF_PATCHES) -> None:
    """Write pixels -> patches `[4, 3]`: the quarters' mean colours, 0 to 1."""
    role = {"role": "vision", "model": model}
    write_encoder(
        folder / "1",
        _vision_network(),
        inputs=VISION_INPUTS,
        output=VISION_OUTPUT,
        parameters=COMMON | PICTURES | role | parameters,
    )


def write_prefix(folder: Path, model: str, parameters: Mapping[str, str] = OF_PATCHES) -> None:
    """Write patches -> prefix `[4, 16]`: each patch through one matrix."""
    write_encoder(
        folder / "1",
        _prefix_network(),
        inputs=PREFIX_INPUTS,
        output=PREFIX_OUTPUT,
        parameters=COMMON | {"role": "prefix", "model": model} | parameters,
    )


def write_image_prefix(folder: Path, model: str) -> None:
    """Write pixels -> prefix `[4, 16]`: both networks above in one."""
    fused = onnx.compose.merge_models(
        _vision_network(), _prefix_network(), io_map=[("patches", "patches")]
    )
    write_encoder(
        folder / "1",
        fused,
        inputs=VISION_INPUTS,
        output=PREFIX_OUTPUT,
        parameters=COMMON | PICTURES | {"role": "image_prefix", "model": model},
    )


def write_itm(folder: Path, model: str, parameters: Mapping[str, str] = OF_PATCHES) -> None:
    """Write patches and texts -> logits `[2]`."""
    write_encoder(
        folder / "1",
        _itm_network(),
        inputs=ITM_INPUTS,
        output=ITM_OUTPUT,
        parameters=COMMON | TEXTS | {"role": "itm", "model": model} | parameters,
        max_batch_size=0,
        batching="",
    )
    (folder / "tokenizer.json").write_bytes(TOKENIZER)


def _vision_network() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["colours"]),
        helper.make_node("Reshape", ["colours", "blocks"], ["quarters"]),
        helper.make_node("ReduceMean", ["quarters", "inside"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "flat"], ["patches"]),
    ]
    constants = {
        "white": np.array(255, np.float32),
        "blocks": np.array([-1, 2, SIDE // 2, 2, SIDE // 2, 3]),
        "inside": np.array([2, 4]),
        "flat": np.array([-1, PATCHES, WIDTH]),
    }
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    patches = helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["n", PATCHES, WIDTH])
    return network(nodes, [pixels], patches, constants)


def _prefix_network() -> onnx.ModelProto:
    weight = np.random.default_rng(3).normal(size=(WIDTH, HIDDEN)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["patches", "weight"], ["prefix"])]
    patches = helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["n", PATCHES, WIDTH])
    prefix = helper.make_tensor_value_info("prefix", TensorProto.FLOAT, ["n", PREFIX, HIDDEN])
    return network(nodes, [patches], prefix, {"weight": weight})


def _itm_network() -> onnx.ModelProto:
    """The sum, over the words that count, of word times mean colour."""
    nodes = [
        helper.make_node("ReduceMean", ["patches", "middle"], ["colour"], keepdims=0),
        helper.make_node("Gather", ["colour", "image_index"], ["of_text"]),
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "middle"], ["wanted"], keepdims=0),
        helper.make_node("Mul", ["wanted", "of_text"], ["agreement"]),
        helper.make_node("ReduceSum", ["agreement", "last"], ["match"]),
        helper.make_node("Sub", ["match", "match"], ["no_match"]),
        helper.make_node("Concat", ["no_match", "match"], ["logits"], axis=1),
    ]
    constants = {
        "table": np.array(list(WORDS.values()), np.float32),
        "last": np.array([-1]),
        "middle": np.array([1]),
    }
    inputs = [
        helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["i", PATCHES, WIDTH]),
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "l"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["n", "l"]),
        helper.make_tensor_value_info("image_index", TensorProto.INT64, ["n"]),
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])
    return network(nodes, inputs, logits, constants)
