"""Which encoders a BLIP-2 checkpoint has."""

from collections.abc import Callable, Collection, Sequence

from PIL import Image

from triptych_export.blip2_networks import (
    ImagePrefix,
    Matching,
    Patches,
    Prefix,
    QFormerText,
    QueryFeatures,
)
from triptych_export.checkpoint import Checkpoint
from triptych_export.encoder import Encoder
from triptych_export.errors import CheckpointError
from triptych_export.image_encoder import ImageEncoder
from triptych_export.matching_encoder import MatchingEncoder
from triptych_export.patch_encoder import PatchEncoder
from triptych_export.space import patch_space
from triptych_export.text_encoder import TextEncoder
from triptych_export.text_samples import TextSamples
from triptych_server.engines.encoders.spec import Role


def blip2_encoders(
    checkpoint: Checkpoint, pictures: Sequence[Image.Image], graphs: Collection[Role] = ()
) -> list[Encoder]:
    """The encoders of `checkpoint` in the roles `graphs`, or all that it has.

    `pictures` are RGB, for parity. Raises `CheckpointError` for a role that it does not have.
    """
    known = (
        _retrieval(checkpoint, pictures) if checkpoint.text else _generation(checkpoint, pictures)
    )
    for role in graphs:
        if role not in known:
            raise CheckpointError(
                f"{checkpoint.name} has no graph {role.value}; it has {', '.join(known)}"
            )
    return [build() for role, build in known.items() if not graphs or role in graphs]


def _generation(
    checkpoint: Checkpoint, pictures: Sequence[Image.Image]
) -> dict[Role, Callable[[], Encoder]]:
    model, patches = checkpoint.model, {"patch_space": patch_space(checkpoint)}
    vision = ImageEncoder(checkpoint, pictures, Patches(model), Role.VISION, patches)
    return {
        Role.VISION: lambda: vision,
        Role.PREFIX: lambda: PatchEncoder(vision, Prefix(model), Role.PREFIX, patches),
        Role.IMAGE_PREFIX: lambda: ImageEncoder(
            checkpoint, pictures, ImagePrefix(model), Role.IMAGE_PREFIX
        ),
    }


def _retrieval(
    checkpoint: Checkpoint, pictures: Sequence[Image.Image]
) -> dict[Role, Callable[[], Encoder]]:
    assert checkpoint.text is not None
    model, patches = checkpoint.model, {"patch_space": patch_space(checkpoint)}
    vision = ImageEncoder(checkpoint, pictures, Patches(model), Role.VISION, patches)
    table = model.get_input_embeddings().weight
    texts = TextSamples(checkpoint.text, checkpoint.tokenizer, table)
    return {
        Role.VISION: lambda: vision,
        Role.ITM: lambda: MatchingEncoder(vision, texts, Matching(model), patches),
        Role.ITC_IMAGE: lambda: PatchEncoder(vision, QueryFeatures(model), Role.ITC_IMAGE, patches),
        Role.ITC_TEXT: lambda: TextEncoder(texts, QFormerText(model), Role.ITC_TEXT),
    }
