"""The decoder network is the one that its folder describes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generators import VOCABULARY, TinyGenerator

from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.spec import SpecError, read_spec


def test_prompts_join_beside_many_rows_alone(tiny: TinyGenerator) -> None:
    one, two = (Decoder(tiny.folder, read_spec(tiny.folder), threads=threads) for threads in (1, 2))
    assert two.beside(1000)
    assert not two.beside(1)
    assert not one.beside(1000)


@pytest.mark.parametrize(
    "change",
    [{"layers": 3}, {"head_size": 16}, {"key_value_heads": 4}],
)
def test_a_network_of_other_sizes_than_its_spec_is_refused(
    tiny: TinyGenerator, change: dict[str, int]
) -> None:
    spec = replace(read_spec(tiny.folder), **change)
    with pytest.raises(SpecError, match=r"model\.onnx: not the network"):
        Decoder(tiny.folder, spec, threads=1)


def test_a_table_of_embeddings_of_another_size_is_refused(tiny: TinyGenerator) -> None:
    spec = replace(read_spec(tiny.folder), vocabulary=VOCABULARY + 1)
    with pytest.raises(SpecError, match=r"embedding\.npy: it is no table of \(401, 64\)"):
        Decoder(tiny.folder, spec, threads=1)


def test_another_table_of_embeddings_is_refused(tiny: TinyGenerator, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "changed"))
    table = np.load(folder / "embedding.npy")
    np.save(folder / "embedding.npy", table + 1)
    with pytest.raises(SpecError, match=r"changed/embedding\.npy: its sha256"):
        Decoder(folder, read_spec(folder), threads=1)
