"""Pictures to what a language model continues."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.models import Model
from triptych_server.capabilities.tasks import Task, roles_for
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.encoders import Tensors
from triptych_server.engines.encoders.spec import PIXELS, PREFIX
from triptych_server.engines.generators.protocol import SoftPrefix
from triptych_server.errors import Internal
from triptych_server.media.content import Image
from triptych_server.media.image import to_pixels


@dataclass(frozen=True, slots=True)
class ImagePrefix:
    """What a picture is to a language model, and where the time went."""

    soft: SoftPrefix
    times: StageTimes


class ImagePrefixes:
    """Makes prefixes with the encoders of models; pictures are decoded in `executor`."""

    def __init__(self, encoding: Encoding, executor: Executor) -> None:
        self._encoding = encoding
        self._executor = executor

    async def encode(self, model: Model, image: Image) -> ImagePrefix:
        """The prefix of one picture, by one encoder or by two, as the model has them.

        Raises `InvalidArgument` with the field inside the picture.
        """
        steps = [model.encoder(role) for role in roles_for(Task.VISION_LANGUAGE, model.encoders)]
        first = steps[0]
        assert first.image is not None, "the first encoder takes pixels"
        loop = asyncio.get_running_loop()
        watch = Stopwatch()
        pixels = await loop.run_in_executor(self._executor, to_pixels, image, first.image)
        times = StageTimes(preprocess_ns=watch.ns())
        tensors: Tensors = {PIXELS: pixels[np.newaxis]}
        for encoder in steps:
            inference = await self._encoding.infer(model, encoder, tensors)
            times = times.then(StageTimes.of(inference))
            tensors = inference.outputs
        prefix = tensors[PREFIX][0]
        if not np.isfinite(prefix).all():
            raise Internal("the encoder gave numbers that are not finite", reason="ENCODER_FAILED")
        return ImagePrefix(SoftPrefix(prefix), times)
