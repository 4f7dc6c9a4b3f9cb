"""Encoders of models, run for the capabilities."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.models import Model, ModelCatalog
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Inference, Tensors
from triptych_server.errors import Internal, InvalidArgument, Unavailable


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What a vision encoder gives for one picture: `[1, P, W]` float32. Encoders that take patches
    of this `space` take them, whichever model they are of."""

    values: npt.NDArray[np.float32]
    space: str


class Encoding:
    """Runs the encoders of a catalog's models, and notices when one of them was exchanged."""

    def __init__(self, engine: EncoderEngine, catalog: ModelCatalog) -> None:
        self._engine = engine
        self._catalog = catalog

    async def infer(self, model: Model, encoder: EncoderSpec, inputs: Tensors) -> Inference:
        """Run one encoder of a model. Raises `Internal` for tensors that do not fit it, and
        `Unavailable` when it answers with other weights than those that the catalog knows."""
        try:
            inference = await self._engine.infer(encoder.name, inputs)
        except InvalidArgument as error:  # the tensors are ours, not the caller's
            raise Internal(
                f"{encoder.name} refuses what its config asks for: {error}",
                reason="ENCODER_MISMATCH",
            ) from error
        if inference.version != encoder.version:
            await self._catalog.refresh()
            if self._catalog.get(model.name, None).space != model.space:
                raise Unavailable(
                    f"the model {model.name!r} was exchanged during the call",
                    reason="MODEL_EXCHANGED",
                    retry_after=0.0,
                )
        return inference
