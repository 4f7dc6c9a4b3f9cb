"""The servers of one model, and what they tell of it."""

from collections.abc import Mapping
from typing import Any

from triptych_server.engines.generators.vllm.endpoints import Endpoints
from triptych_server.engines.generators.vllm.entry import RemoteModel
from triptych_server.engines.generators.vllm.errors import unavailable


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
        _, listing = await self.endpoints.first("/health", "/v1/models")
        models: list[Mapping[str, Any]] = listing["data"]
        for model in models:
            if self._served_name in ("", model["id"]):
                self.context_length = model.get("max_model_len")
                self.source = model.get("root") or model["id"]
                return
        served = ", ".join(model["id"] for model in models)
        raise unavailable(self.name, [f"vLLM serves {served}, not {self._served_name}"])
