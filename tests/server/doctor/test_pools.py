"""Seed pools: whole, damaged, of another space, or none."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from findings import Findings, by_subject, faults
from vectors import random_vectors

from triptych import seed_pool
from triptych_server.doctor import Verdict
from triptych_server.doctor.pools import examine_pools

SPACES = {"small": "clip:aaa", "large": "clip:bbb"}


def write(folder: Path, *, space: str = "clip:aaa", model: str = "small") -> None:
    captions = ["a red circle", "a blue star"]
    vectors = enumerate(random_vectors(2, 8))
    seed_pool.write(folder, captions, vectors, space=space, model=model)


def examine(pools: Path | None, spaces: Mapping[str, str] | None = SPACES) -> Findings:
    return by_subject(asyncio.run(examine_pools(pools, spaces)))


def test_pool_of_a_served_space_is_well(tmp_path: Path) -> None:
    write(tmp_path / "birds")
    found = examine(tmp_path)
    assert not faults(found)
    assert found["birds"][0].detail == "2 captions, space clip:aaa, model small"


def test_pool_of_another_space_is_told_with_the_command_that_builds_it_anew(
    tmp_path: Path,
) -> None:
    write(tmp_path / "birds", space="clip:old")
    write(tmp_path / "fish", space="clip:old", model="gone")
    birds, fish = faults(examine(tmp_path))
    assert (birds.verdict, fish.verdict) == (Verdict.WARNING, Verdict.WARNING)
    assert "its model small is now of clip:aaa" in birds.detail
    assert "its model gone is not served" in fish.detail
    captions = tmp_path / "birds" / "captions.txt"
    assert birds.remedy == (
        f"triptych mils build-pool birds --pools {tmp_path} --captions {captions} --model small"
    )


def test_damaged_pool_is_told(tmp_path: Path) -> None:
    write(tmp_path / "birds")
    (tmp_path / "birds" / "vectors.npy").write_bytes(b"no numbers")
    [fault] = faults(examine(tmp_path))
    assert (fault.what, fault.verdict) == ("birds", Verdict.PROBLEM)
    assert "vectors.npy" in fault.detail


def test_pools_are_read_where_no_engine_answers(tmp_path: Path) -> None:
    write(tmp_path / "birds")
    found = examine(tmp_path, None)
    assert "not compared" in found["birds"][0].detail
    assert not faults(found)


@pytest.mark.parametrize("there", [True, False])
def test_none_is_no_fault(tmp_path: Path, there: bool) -> None:
    found = examine(tmp_path if there else None)
    assert not faults(found)
    assert found["all"][0].remedy.startswith("triptych mils build-pool ")


def test_gateway_without_proposals_is_told_what_it_lacks(
    engines: Callable[..., Findings], repository: Path, tmp_path: Path
) -> None:
    shutil.rmtree(repository.parent / "generators" / "miniworld-proposer")
    found = engines()
    assert found["proposals"][0].remedy.startswith("triptych serve --generator ")
    [fault] = faults(engines(pools=tmp_path / "none"))
    assert fault.remedy == "export TRIPTYCH_POOLS=DIR"
    assert not faults(engines(pools=tmp_path / "none", services="embedding"))
