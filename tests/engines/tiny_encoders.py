"""Encoders small enough to be built in a test, as a model repository holds them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIMENSION = 16
VOCABULARY = 64
SIDE = 8
SLOW_STEPS = 30_000  # some twenty milliseconds
TOKENIZER = b"{}"

CONFIG = """
backend: "onnxruntime"
max_batch_size: {max_batch_size}
{batching}
{inputs}
{output}
{parameters}
"""
IMAGE_INPUTS = 'input { name: "pixels" data_type: TYPE_UINT8 dims: [ 8, 8, 3 ] }'
TEXT_INPUTS = """
input { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] }
input { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }
"""
PARAMETERS = {
    "model": "tiny",
    "family": "clip",
    "space": "clip-0123456789abcdef",
    "source": "tests",
    "precision": "fp32",
}
CLIP = {"score": "softmax", "logit_scale": "20.0"}
FEATURES = 'output { name: "features" data_type: TYPE_FP32 dims: [ 16 ] }'
IMAGE = {"role": "image_encoder", "resize": "shortest_edge:8", "resample": "bicubic"}
TEXT = {
    "role": "text_encoder",
    "context_length": "64",
    "pad_id": "0",
    "padding": "bucket:8,16,32",
    "tokenizer": "tokenizer.json",
    "tokenizer_sha256": hashlib.sha256(TOKENIZER).hexdigest(),
}


def write_image_encoder(
    folder: Path,
    *,
    steps: int = 0,
    seed: int = 1,
    version: int = 1,
    parameters: Mapping[str, str] = IMAGE,
    max_batch_size: int = 8,
    batching: str = "dynamic_batching { }",
) -> None:
    """Write an encoder of 8 x 8 pictures, as slow as `steps` make it.

    A second call adds a `version` and replaces config.pbtxt; `parameters` go without `triptych.`.
    """
    write_encoder(
        folder / str(version),
        _image_network(steps, seed),
        inputs=IMAGE_INPUTS,
        output=FEATURES,
        parameters=CLIP | parameters,
        max_batch_size=max_batch_size,
        batching=batching,
    )


def write_text_encoder(folder: Path) -> None:
    """Write an encoder of texts of up to 64 tokens, out of a vocabulary of 64."""
    write_encoder(
        folder / "1",
        _text_network(),
        inputs=TEXT_INPUTS,
        output=FEATURES,
        parameters=CLIP | TEXT,
    )
    (folder / "tokenizer.json").write_bytes(TOKENIZER)


def write_encoder(
    folder: Path,
    graph: onnx.ModelProto,
    *,
    inputs: str,
    output: str,
    parameters: Mapping[str, str],
    max_batch_size: int = 8,
    batching: str = "dynamic_batching { }",
) -> None:
    """Write a network into a version's `folder`, and config.pbtxt above it."""
    folder.mkdir(parents=True)
    onnx.save(graph, folder / "model.onnx")
    lines = [
        f'parameters {{ key: "triptych.{key}" value {{ string_value: "{value}" }} }}'
        for key, value in (PARAMETERS | parameters).items()
    ]
    text = CONFIG.format(
        inputs=inputs,
        output=output,
        parameters="\n".join(lines),
        max_batch_size=max_batch_size,
        batching=batching,
    )
    (folder.parent / "config.pbtxt").write_text(text)


def network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    output: onnx.ValueInfoProto,
    constants: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    """A checked graph."""
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "encoder", inputs, [output], initializers)
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _image_network(steps: int, seed: int) -> onnx.ModelProto:
    """Pixels through one matrix and to unit length, after so many steps that change nothing."""
    weight = np.random.default_rng(seed).normal(size=(SIDE * SIDE * 3, DIMENSION))
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["sums"]),
        *_delay("sums", "delayed", steps),
        helper.make_node("LpNormalization", ["delayed"], ["features"], axis=-1, p=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    return network(nodes, [pixels], _features(), {"weight": weight.astype(np.float32)})


def _text_network() -> onnx.ModelProto:
    """The mean of the embeddings of the tokens that count, to unit length."""
    table = np.random.default_rng(2).normal(size=(VOCABULARY, DIMENSION))
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["tokens", "column"], ["counted"]),
        helper.make_node("ReduceMean", ["counted", "middle"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["features"], axis=-1, p=2),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "l"])
        for name in ("input_ids", "attention_mask")
    ]
    constants = {
        "table": table.astype(np.float32),
        "last": np.array([-1]),
        "middle": np.array([1]),
    }
    return network(nodes, inputs, _features(), constants)


def _features() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIMENSION])


def _delay(source: str, target: str, steps: int) -> list[onnx.NodeProto]:
    """`target` = `source`, after `steps` products of a matrix with the identity."""
    if not steps:
        return [helper.make_node("Identity", [source], [target])]
    eye = np.eye(DIMENSION, dtype=np.float32)
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "eye"], ["next_state"]),
            helper.make_node("Identity", ["running"], ["still_running"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("running", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", DIMENSION]),
        ],
        [
            helper.make_tensor_value_info("still_running", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, ["n", DIMENSION]),
        ],
        [numpy_helper.from_array(eye, "eye")],
    )
    constants = {"steps": np.array(steps), "go_on": np.array(True)}
    return [
        *(
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
            for name, value in constants.items()
        ),
        helper.make_node("Loop", ["steps", "go_on", source], [target], body=body),
    ]
