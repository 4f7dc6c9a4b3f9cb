"""Captions about subjects by the models of a catalog."""

import secrets
from dataclasses import dataclass

from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.mils.queries import ProposeQuery
from triptych_server.capabilities.mils.subjects import About, propose_about
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task


@dataclass(frozen=True, slots=True)
class Written:
    """Captions, and the model that wrote them."""

    model: str
    about: About


class SubjectWriter:
    """Writes captions with no target in sight."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog

    async def write(self, query: ProposeQuery) -> Written:
        """Raises as `LanguageModel.named` and `propose_about`."""
        language = LanguageModel.named(self._catalog, query.model, Task.PROPOSE)
        about = await propose_about(
            language,
            query.generation,
            query.subjects,
            query.count,
            seed=secrets.randbits(64) if query.seed is None else query.seed,
            guidance=query.guidance,
        )
        return Written(language.model.name, about)
