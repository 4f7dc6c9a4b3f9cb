"""The servers of one model, and what they tell of it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.entry import RemoteModel
from triptych_server.engines.generators.vllm.errors import unavailable
from triptych_server.engines.generators.vllm.model_list import MODELS, ListedModel, read_list
from triptych_server.engines.generators.vllm.trial import Trial

BUSY_S = 1.0  # less than those have that ask whether it is ready


class Server:
    """The model of an entry, on the servers that it names.

    `context_length` and `source`, the checkpoint, are known once a server was `ready`. `trial` is
    the request that a server has to take, if any: whenever it comes back, or serves another model.
    """

    def __init__(self, entry: RemoteModel) -> None:
        self.name = entry.name
        self.endpoints = Endpoints(entry.name, entry.urls, api_key=entry.api_key)
        self.context_length: int | None = None
        self.source = ""
        self.trial: Trial | None = None
        self._served_name = entry.served_name

    @property
    def model(self) -> Mapping[str, str]:
        """The field that names the model in a request; without a name, vLLM takes its first."""
        return {"model": self._served_name} if self._served_name else {}

    async def known(self) -> None:
        """Return once a server was ready; raise `Unavailable` if none ever was."""
        if self.context_length is None:
            await self.ready()

    async def ready(self) -> None:
        """Return if a server is healthy, has the model and passed the trial, or is busy answering;
        raise `Unavailable` if none is."""
        if self.context_length is not None and self.endpoints.lively:
            with suppress(TimeoutError):  # vLLM under load may take seconds to say that it is well
                async with asyncio.timeout(BUSY_S):
                    await self._ask()
            return
        await self._ask()

    async def _ask(self) -> None:
        _, answer = await self.endpoints.first("/health", MODELS, trial=self._trial_of)
        try:
            models = read_list(answer)
        except ValueError as error:
            raise unavailable(self.name, [str(error)]) from None
        if model := self._served(models):
            self.context_length, self.source = model.context_length, model.source
            return
        served = ", ".join(model.name for model in models) or "nothing"
        raise unavailable(self.name, [f"vLLM serves {served}, not {self._served_name}"])

    def _trial_of(self, answers: Sequence[Any]) -> Trial | None:
        with suppress(ValueError):  # is told with the list
            if self.trial and (model := self._served(read_list(answers[-1]))):
                return replace(self.trial, served=model)
        return None

    def _served(self, models: Sequence[ListedModel]) -> ListedModel | None:
        return next((each for each in models if self._served_name in ("", each.name)), None)
