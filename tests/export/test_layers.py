import pytest

from triptych_export.layers import layer_of, named


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (
            "network.model.vision_model.encoder.layers.3.mlp.fc1",
            "vision_model.encoder.layers.3.mlp",
        ),
        ("network.model.vision_model.encoder.layers.3", "vision_model.encoder.layers.3.residual"),
        (
            "network.0.vision.encoder.layers.30.self_attn.qkv",
            "0.vision.encoder.layers.30.self_attn",
        ),
        ("model.text_model.encoder.layer.0.attention", "text_model.encoder.layer.0.attention"),
        ("network.model.visual_projection", "visual_projection"),
        ("network", "model"),
        ("", "model"),
    ],
)
def test_a_layer_is_a_part_of_a_block_or_a_module(module: str, layer: str) -> None:
    assert layer_of(f"{module}/MatMul_7") == layer


def test_a_name_is_a_layer_or_the_beginning_of_several() -> None:
    layers = ["head", "head.mlp", "layers.1.mlp", "layers.1.residual", "layers.11.mlp"]
    assert named(layers, ["layers.1"]) == {"layers.1.mlp", "layers.1.residual"}
    assert named(layers, ["head"]) == {"head"}
    assert named(layers, ["layers.11.mlp", "layers.2"]) == {"layers.11.mlp"}
