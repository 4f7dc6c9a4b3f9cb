"""Towers of checkpoints as fp32 graphs, for what is done to graphs next."""

from pathlib import Path

from triptych_export.checkpoint import load_checkpoint
from triptych_export.encoder import Encoder
from triptych_export.graph import write_graph
from triptych_export.image_encoder import ImageEncoder, ImageFeatures
from triptych_export.samples import draw_pictures


def write_image_tower(checkpoint: Path, target: Path) -> Encoder:
    """Write the image tower of a contrastive checkpoint; the encoder has its samples."""
    loaded = load_checkpoint(checkpoint)
    encoder = ImageEncoder(loaded, draw_pictures(8), ImageFeatures(loaded))
    example = encoder.example()
    write_graph(
        encoder.tower(), example, encoder.axes, target, inputs=list(example), outputs=["features"]
    )
    return encoder
