"""The servers of one model, and what they tell of it."""

from collections.abc import Mapping

from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.entry import RemoteModel
from triptych_server.engines.generators.vllm.errors import unavailable
from triptych_server.engines.generators.vllm.model_list import MODELS, read_list


class Server:
    """The model of an entry, on the servers that it names.

    `context_length` and `source`, the checkpoint, are known once a server was `ready`.
    """

    def __init__(self, entry: RemoteModel) -> None:
        self.name = entry.name
        self.endpoints = Endpoints(entry.name, entry.urls, api_key=entry.api_key)
        self.context_length: int | None = None
        self.source = ""
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
        """Return if a server is healthy and has the model; raise `Unavailable` if none has."""
        _, answer = await self.endpoints.first("/health", MODELS)
        try:
            models = read_list(answer)
        except ValueError as error:
            raise unavailable(self.name, [str(error)]) from None
        for model in models:
            if self._served_name in ("", model.name):
                self.context_length, self.source = model.context_length, model.source
                return
        served = ", ".join(model.name for model in models) or "nothing"
        raise unavailable(self.name, [f"vLLM serves {served}, not {self._served_name}"])
