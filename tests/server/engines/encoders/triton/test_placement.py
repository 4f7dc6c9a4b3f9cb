"""Whom requests are sent to when Tritons differ."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tiny_encoders import write_image_encoder

from triptych_server.engines.encoders.repository import read_config
from triptych_server.engines.encoders.spec import EncoderSpec, spec_from_config
from triptych_server.engines.encoders.triton.placement import Placement, place
from triptych_server.engines.encoders.triton.replica import Offer


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    folder = tmp_path_factory.mktemp("repository") / "image"
    write_image_encoder(folder)
    return spec_from_config(read_config(folder / "config.pbtxt"), "1")


def placed(spec: EncoderSpec, versions: Mapping[str, str], in_use: str = "") -> tuple[str, str]:
    """The space and the Tritons chosen, of each Triton's `VERSION=SPACE ...`."""
    spaces: dict[str, EncoderSpec] = {}
    offers = {}
    for triton, listed in versions.items():
        offers[triton] = []
        for each in listed.split():
            version, _, space = each.partition("=")
            spaces[each] = replace(spec, version=version, space=space)
            offers[triton].append(Offer(spaces[each], instances=1, batch_rows=8))
    placement = place(offers, spaces.get(in_use))
    return f"{placement.spec.version}={placement.spec.space}", "".join(placement.addresses)


@pytest.mark.parametrize(
    ("versions", "chosen", "tritons"),
    [
        ({"a": "1=old"}, "1=old", "a"),
        ({"a": "1=old", "b": "1=old"}, "1=old", "ab"),
        ({"a": "1=old", "b": "2=new"}, "2=new", "b"),
        ({"a": "9=old", "b": "10=new"}, "10=new", "b"),
        ({"a": "1=old", "b": "1=old", "c": "2=new"}, "1=old", "ab"),
        ({"a": "1=old", "b": "2=new", "c": "2=new"}, "2=new", "bc"),
        ({"a": "1=old 2=new", "b": "1=old"}, "1=old", "ab"),
        ({"a": "1=old 2=new", "b": "1=old 2=new"}, "2=new", "ab"),
    ],
)
def test_most_tritons_decide_and_then_the_highest_version(
    spec: EncoderSpec, versions: Mapping[str, str], chosen: str, tritons: str
) -> None:
    assert placed(spec, versions) == (chosen, tritons)


@pytest.mark.parametrize(("in_use", "tritons"), [("1=old", "a"), ("1=new", "b")])
def test_other_weights_under_the_same_version_wait_until_most_have_them(
    spec: EncoderSpec, in_use: str, tritons: str
) -> None:
    assert placed(spec, {"a": "1=old", "b": "1=new"}, in_use) == (in_use, tritons)
    assert placed(spec, {"a": "1=old", "b": "1=new", "c": "1=new"}, in_use) == ("1=new", "bc")


def test_batches_of_all_tritons_are_filled_together(spec: EncoderSpec) -> None:
    offers = {"a": [Offer(spec, 2, 8)], "b": [Offer(spec, 1, 4)]}
    assert place(offers) == Placement(spec, ("a", "b"), instances=2, batch_rows=12)
