"""What stands behind `triton://`."""

import asyncio
import re

import pytest

from triptych_server.engines.encoders.triton import addresses
from triptych_server.engines.encoders.triton.addresses import Addresses, target
from triptych_server.errors import Unavailable


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("10.0.0.7:8001", ("10.0.0.7:8001",)),
        ("10.0.0.7:8001,10.0.0.8:8002", ("10.0.0.7:8001", "10.0.0.8:8002")),
        ("10.0.0.7:8001,10.0.0.7:8001", ("10.0.0.7:8001",)),
        ("[fd00::7]:8001,[fd00::8]:8001", ("[fd00::7]:8001", "[fd00::8]:8001")),
    ],
)
async def test_ip_addresses_stand_for_themselves(url: str, addresses: tuple[str, ...]) -> None:
    assert await Addresses(url).resolve() == addresses


async def test_a_name_stands_for_its_ipv4_addresses() -> None:
    assert await Addresses("localhost:8001").resolve() == ("127.0.0.1:8001",)


@pytest.mark.parametrize("host", ["triton.invalid", "triton..invalid"])
async def test_a_name_that_cannot_be_resolved_is_unavailable(host: str) -> None:
    with pytest.raises(Unavailable, match=f"{re.escape(host)} cannot be resolved: ."):
        await Addresses(f"{host}:8001").resolve()


async def test_a_silent_name_server_is_asked_once_by_all_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look-up holds up a thread until the system gives up."""
    asked: list[asyncio.Future[None]] = []

    async def look_up(*_: object, **__: object) -> None:
        asked.append(asyncio.get_running_loop().create_future())
        await asked[-1]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    monkeypatch.setattr(addresses, "RESOLVE_TIMEOUT_S", 0.05)
    triton = Addresses("triton.example:8001")
    outcomes = await asyncio.gather(*(triton.resolve() for _ in range(20)), return_exceptions=True)
    with pytest.raises(Unavailable, match="the name server does not answer"):
        await triton.resolve()
    assert {str(each) for each in outcomes} == {
        "triton.example cannot be resolved: the name server does not answer"
    }
    assert len(asked) == 1
    asked[0].cancel()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("a.example:8001,b.example:8001", "lists a name"),
        ("10.0.0.7:8001,b.example:8001", "lists a name"),
        ("10.0.0.7:8001,[fd00::7]:8001", "mixes IPv4 and IPv6"),
        ("10.0.0.7", "'10.0.0.7' is no HOST:PORT"),
        ("10.0.0.7:8001,", "'' is no HOST:PORT"),
        ("triton:http", "'triton:http' is no HOST:PORT"),
        ("triton:0", "'triton:0' is no HOST:PORT"),
        ("triton:65536", "is no HOST:PORT"),
        (":8001", "is no HOST:PORT"),
        ("fd00::7:8001", "IPv6 addresses are written"),
    ],
)
def test_what_is_neither_a_name_nor_a_list_of_addresses_is_refused(url: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        Addresses(url)


def test_grpc_is_told_the_kind_of_address() -> None:
    assert target(("10.0.0.7:8001", "10.0.0.8:8001")) == "ipv4:10.0.0.7:8001,10.0.0.8:8001"
    assert target(("[fd00::7]:8001",)) == "ipv6:[fd00::7]:8001"
