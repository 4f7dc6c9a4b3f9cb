"""ModelService."""

import asyncio
from typing import Any

from triptych.v1 import model_pb2, model_pb2_grpc
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.engines.encoders import EncoderSpec, Role
from triptych_server.errors import TriptychError
from triptych_server.services import media, page_tokens
from triptych_server.services.rules import between, check, fields

LIST_MODELS = fields(page_size=between(0, 1_000))
GET_MODEL = fields(name=media.MODEL_NAME)

DEFAULT_PAGE_SIZE = 100
_ROLES = {
    Role.IMAGE: model_pb2.ROLE_IMAGE_ENCODER,
    Role.TEXT: model_pb2.ROLE_TEXT_ENCODER,
    Role.VISION: model_pb2.ROLE_VISION,
    Role.PREFIX: model_pb2.ROLE_PREFIX,
    Role.IMAGE_PREFIX: model_pb2.ROLE_IMAGE_PREFIX,
    Role.ITM: model_pb2.ROLE_ITM,
    Role.ITC_IMAGE: model_pb2.ROLE_ITC_IMAGE,
    Role.ITC_TEXT: model_pb2.ROLE_ITC_TEXT,
}


class ModelService(model_pb2_grpc.ModelServiceServicer):
    """ListModels and GetModel over a `ModelCatalog`."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog

    async def ListModels(
        self, request: model_pb2.ListModelsRequest, context: Any
    ) -> model_pb2.ListModelsResponse:
        check(LIST_MODELS, request)
        after = page_tokens.decode(request, str) or ""
        size = request.page_size or DEFAULT_PAGE_SIZE
        models = [model for model in self._catalog.list() if model.name > after]
        page = models[:size]
        token = page_tokens.encode(request, page[-1].name) if len(models) > size else ""
        return model_pb2.ListModelsResponse(
            models=await asyncio.gather(*map(self._model, page)), next_page_token=token
        )

    async def GetModel(
        self, request: model_pb2.GetModelRequest, context: Any
    ) -> model_pb2.GetModelResponse:
        check(GET_MODEL, request)
        try:
            model = self._catalog.get(request.name, None)
        except TriptychError as error:
            raise error.at("name") from None
        return model_pb2.GetModelResponse(model=await self._model(model))

    async def _model(self, model: Model) -> model_pb2.Model:
        encoders = [await self._encoder(model, spec) for spec in model.specs]
        return model_pb2.Model(
            name=model.name,
            family=model.family,
            space=model.space,
            dimension=model.dimension,
            source=model.source,
            default=self._catalog.is_default(model),
            encoders=encoders,
            generator=await self._generator(model) if model.generator else None,
        )

    async def _encoder(self, model: Model, spec: EncoderSpec) -> model_pb2.Encoder:
        encoder = model_pb2.Encoder(
            name=spec.name,
            role=_ROLES[spec.role],
            version=spec.version,
            precision=spec.precision,
            max_batch_size=spec.max_batch_size,
            state=model_pb2.STATE_READY,
            image_height=spec.image.height if spec.image else 0,
            image_width=spec.image.width if spec.image else 0,
            context_length=spec.text.context_length if spec.text else 0,
        )
        try:
            await self._catalog.check_ready(model, spec)
        except TriptychError as error:
            encoder.state = model_pb2.STATE_UNAVAILABLE
            encoder.state_reason = error.message
        return encoder

    async def _generator(self, model: Model) -> model_pb2.Generator:
        spec = model.generator
        assert spec is not None, "asked of models that have one"
        generator = model_pb2.Generator(
            family=spec.family,
            precision=spec.precision,
            context_length=spec.context_length,
            image_tokens=spec.prefix_tokens,
            max_images=spec.most_pictures,
            beam_search=spec.beams,
            choices=spec.scoring,
            chat=spec.instructions is not None,
            proposals=spec.proposes,
            state=model_pb2.STATE_READY,
        )
        try:
            await self._catalog.check_generator(model)
        except TriptychError as error:
            generator.state = model_pb2.STATE_UNAVAILABLE
            generator.state_reason = error.message
        return generator
