"""The layers of a graph, by the names that `write_graph` gives its nodes.

A layer is a part of a transformer block (`vision_model.encoder.layers.3.mlp`, `….3.self_attn`,
`….3.residual` for the sums between them) or a module outside of all blocks (`visual_projection`).
"""

import re
from collections.abc import Collection, Iterable

RESIDUAL = "residual"
# What belongs to no module, such as the normalisation of pixels.
_ROOT = "model"
_WRAPPERS = re.compile(r"^((network|model)(\.|$))+")
_BLOCK = re.compile(r"(.*\blayers?\.\d+)(?:\.([^.]+).*)?")


def layer_of(node: str) -> str:
    """The layer of the node of this name."""
    module = _WRAPPERS.sub("", node.rpartition("/")[0])
    block = _BLOCK.fullmatch(module)
    if block is not None:
        return f"{block[1]}.{block[2] or RESIDUAL}"
    return module or _ROOT


def named(layers: Iterable[str], names: Collection[str]) -> frozenset[str]:
    """Those of `layers` that `names` name: one by its own name, several by what they begin with."""
    layers = set(layers)
    whole = layers.intersection(names)
    prefixes = tuple(f"{name}." for name in set(names) - whole)
    return frozenset(whole | {layer for layer in layers if layer.startswith(prefixes)})
