"""What stands behind `triton://`."""

import pytest

from triptych_server.engines.encoders.triton.addresses import Addresses, target


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
