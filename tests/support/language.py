"""Models that generate, small enough to be made in a test.

They share one decoder of random weights, which never ends a text early, and see a picture as the
colours of its quarters.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from calls import MODEL, raw
from tiny_blip2 import (
    SPACE,
    write_image_prefix,
    write_itm,
    write_prefix,
    write_vision,
)

from triptych.v1 import media_pb2
from triptych_server.settings import SHIPPED_REPOSITORY

# Its picture becomes a prefix in one network; the default of requests that name none.
FUSED = "fused"
CONTEXT, IMAGE_TOKENS = 256, 4
# The same, but its texts may be so long that no test waits for the end of one.
LONG = "long"
LONG_CONTEXT = 2**16
# Its generator has neither beams nor scores.
PLAIN = "plain"
# Its picture becomes a prefix in two networks; it also matches texts with pictures.
TWO_STEP = "two-step"


def write_models(folder: Path) -> Path:
    """Write the model repository `folder/models`, with the shipped CLIP in it, and the generators
    beside it, where a gateway looks for them; returns the repository."""
    from generators import write_tiny_generator  # loads torch, for seconds

    repository = folder / "models"
    for encoder in SHIPPED_REPOSITORY.glob(f"{MODEL}-*"):
        shutil.copytree(encoder, repository / encoder.name)
    for model in (FUSED, LONG, PLAIN):
        write_image_prefix(repository / f"{model}-image-prefix", model)
    write_vision(repository / f"{TWO_STEP}-vision", TWO_STEP)
    write_prefix(repository / f"{TWO_STEP}-prefix", TWO_STEP)
    write_itm(repository / f"{TWO_STEP}-itm", TWO_STEP)
    whole = write_tiny_generator(
        folder,
        name="whole",
        space=SPACE,
        hidden_size=16,
        word_embed_proj_dim=16,
        num_attention_heads=2,
        max_position_embeddings=LONG_CONTEXT,
    )
    for model, changes in (
        (FUSED, {"context_length": CONTEXT}),
        (LONG, {}),
        (PLAIN, {"beams": False, "scoring": False}),
        (TWO_STEP, {"context_length": CONTEXT}),
    ):
        write_variant(whole.folder, folder / "generators" / model, {"model": model} | changes)
    return repository


def picture(red: int, green: int, blue: int) -> media_pb2.Image:
    """A picture of one colour, of the models' size."""
    return raw(np.full((8, 8, 3), (red, green, blue), np.uint8)).image


def pictures(count: int) -> list[media_pb2.Image]:
    """Different pictures."""
    pixels = np.random.default_rng(5).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return [raw(each).image for each in pixels]


def write_variant(whole: Path, folder: Path, changes: dict[str, object]) -> None:
    """The same generator, as another generator.json describes it."""
    shutil.copytree(whole, folder)
    spec = folder / "generator.json"
    spec.write_text(json.dumps(json.loads(spec.read_text()) | changes))
