"""Pictures to what they are to language models."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from triptych_server.capabilities.encoding import Patches
from triptych_server.capabilities.forms import Sight
from triptych_server.capabilities.image_prefixes import ImagePrefixes
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import Image
from triptych_server.media.picture import to_picture


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as a model sees it, and where the time went; `patches` where they were wanted and
    came about."""

    sight: Sight
    times: StageTimes
    patches: Patches | None


class Sights:
    """Shows pictures to models: through their encoders, or as files to those that see by
    themselves.

    Files are made in `executor`, with no side over `longest_side`.
    """

    def __init__(self, prefixes: ImagePrefixes, executor: Executor, *, longest_side: int) -> None:
        self._prefixes = prefixes
        self._executor = executor
        self._longest_side = longest_side

    async def see(
        self, model: Model, image: Image, *, field: str = "", patches_of: str = ""
    ) -> Seen:
        """What one picture is to the model.

        Encoders that can make patches of the space `patches_of` do. Raises `InvalidArgument` with
        the field inside the picture, whose own path is `field`.
        """
        try:
            if model.generator and model.generator.max_pictures:
                return await self._file(image)
            prefix = await self._prefixes.encode(model, image, patches_of=patches_of)
        except InvalidArgument as error:
            raise (error.within(field) if field else error) from None
        return Seen(prefix.soft, prefix.times, prefix.patches)

    async def _file(self, image: Image) -> Seen:
        watch = Stopwatch()
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._executor, to_picture, image, self._longest_side)
        return Seen(picture, StageTimes(preprocess_ns=watch.ns()), None)
