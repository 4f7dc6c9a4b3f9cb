"""Pictures to what a language model continues."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych_server.capabilities.encoding import Encoding, Patches
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.tasks import Task, roles_for
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.encoders import EncoderSpec, Role, Tensors
from triptych_server.engines.encoders.spec import PATCHES, PIXELS, PREFIX
from triptych_server.engines.generators.protocol import SoftPrefix
from triptych_server.errors import Internal
from triptych_server.media.content import Image


@dataclass(frozen=True, slots=True)
class ImagePrefix:
    """What a picture is to a language model, and where the time went; `patches` where they were
    wanted and came about."""

    soft: SoftPrefix
    times: StageTimes
    patches: Patches | None


class ImagePrefixes:
    """Makes prefixes with the encoders of models."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    async def encode(self, model: Model, image: Image, *, patches_of: str = "") -> ImagePrefix:
        """The prefix of one picture, by one encoder or by two, as the model has them.

        If they can make patches of the space `patches_of`, they do, for others who take those.
        Raises `InvalidArgument` with the field inside the picture.
        """
        steps = _steps(model, patches_of)
        watch = Stopwatch()
        pixels = await self._encoding.pixels(steps[0], image)
        times = StageTimes(preprocess_ns=watch.ns())
        tensors: Tensors = {PIXELS: pixels[np.newaxis]}
        patches = None
        for encoder in steps:
            inference = await self._encoding.infer(model, encoder, tensors)
            times = times.then(StageTimes.of(inference))
            tensors = inference.outputs
            if PATCHES in tensors and encoder.patch_space == patches_of:
                patches = Patches(tensors[PATCHES], patches_of)
        prefix = tensors[PREFIX][0]
        if not np.isfinite(prefix).all():
            raise Internal("the encoder gave numbers that are not finite", reason="ENCODER_FAILED")
        return ImagePrefix(SoftPrefix(prefix), times, patches)


def _steps(model: Model, patches_of: str) -> Sequence[EncoderSpec]:
    """The encoders from a picture to its prefix, by way of its patches if these are wanted."""
    vision = model.encoders.get(Role.VISION)
    roles = roles_for(Task.VISION_LANGUAGE, model.encoders)
    if vision and vision.patch_space == patches_of and Role.PREFIX in model.encoders:
        roles = [Role.VISION, Role.PREFIX]
    return [model.encoder(role) for role in roles]
