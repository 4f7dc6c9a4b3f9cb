from pathlib import Path

import pytest

from triptych_export.checkpoint import load_checkpoint
from triptych_export.space import embedding_space

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["miniworld-clip-image", "miniworld-clip-text"])
def test_the_shipped_repository_is_the_export_of_the_shipped_checkpoint(folder: str) -> None:
    checkpoint = load_checkpoint(ROOT / "export" / "checkpoints" / "miniworld-clip")
    config = (ROOT / "model_repository" / folder / "config.pbtxt").read_text()
    assert f'"{embedding_space(checkpoint)}"' in config
