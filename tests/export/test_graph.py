"""What every graph that is written keeps to."""

from pathlib import Path

import onnx


def test_uint8_is_read_by_a_cast_alone(clip_tower: Path) -> None:
    """TensorRT has no other operator for it."""
    graph = onnx.load(clip_tower).graph
    assert [node.op_type for node in graph.node if "pixels" in node.input] == ["Cast"]


def test_nodes_are_named_after_their_module(clip_tower: Path) -> None:
    graph = onnx.load(clip_tower).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    attention = "network.model.vision_model.encoder.layers.0.self_attn/Softmax_"
    assert any(name.startswith(attention) for name in names)
    assert not any(node.metadata_props for node in graph.node)
