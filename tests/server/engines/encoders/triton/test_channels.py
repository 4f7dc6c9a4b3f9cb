"""RPCs that are out when a set of Tritons is left."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from triptych_server.engines.encoders.triton import channels
from triptych_server.engines.encoders.triton.channels import Channels
from triptych_server.engines.encoders.triton.errors import Unserved

REQUEST = b""


class Silent(grpc.GenericRpcHandler):
    """Takes every RPC and answers none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._wait)

    async def _wait(self, request: bytes, context: Any) -> bytes:
        self.asked.set()
        await asyncio.Event().wait()
        return b""


@pytest.fixture
def silent() -> Silent:
    return Silent()


@pytest.fixture
async def there(silent: Silent) -> AsyncIterator[tuple[str, ...]]:
    """Where the silent server is."""
    server = aio.server(handlers=(silent,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield (f"127.0.0.1:{port}",)
    await server.stop(None)


async def send(channels: Channels, there: tuple[str, ...], silent: Silent) -> asyncio.Task[Any]:
    """An inference that is out."""
    silent.asked.clear()
    sent = asyncio.create_task(channels.to(there).infer(REQUEST, 60))
    await asyncio.wait_for(silent.asked.wait(), 10)
    return sent


async def test_they_may_come_back_for_a_while(
    silent: Silent, there: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "GRACE_S", 0.05)
    opened = Channels()
    sent = await send(opened, there, silent)
    opened.keep([there])
    assert not sent.done()
    opened.keep([])
    with pytest.raises(Unserved, match="moved to other Tritons"):
        await sent
    await opened.close()


async def test_none_is_left_when_all_are_closed(silent: Silent, there: tuple[str, ...]) -> None:
    opened = Channels()
    sent = [await send(opened, there, silent)]
    opened.keep([])
    sent.append(await send(opened, there, silent))
    await opened.close()
    for each in sent:
        with pytest.raises(Unserved):
            await each


async def test_a_caller_who_leaves_is_not_told_of_other_tritons(
    silent: Silent, there: tuple[str, ...]
) -> None:
    opened = Channels()
    sent = await send(opened, there, silent)
    opened.keep([])
    sent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent
    await opened.close()
