"""Tiny checkpoints of every family with random weights, and their exports; made once a session."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from towers import write_image_tower
from transformers import Blip2Config, Blip2ForConditionalGeneration, T5Config

from triptych_export.pipeline import export_blip2, export_clip
from triptych_export.random_blip2 import randomise
from triptych_export.random_checkpoint import ARCHITECTURES, write_random_checkpoint
from triptych_export.report import ExportReport

BLIP2 = ("blip2-opt-125m", "blip2-itm-vit-g")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Architecture to the directory of its tiny checkpoint. Copy before you change one."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture, kind in ARCHITECTURES.items():
        write_random_checkpoint(architecture, root / architecture, size=kind.tiny)
    return {architecture: root / architecture for architecture in ARCHITECTURES}


@pytest.fixture(scope="session")
def clip_tower(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower of the tiny CLIP as an fp32 graph. Write nothing beside it."""
    target = tmp_path_factory.mktemp("tower") / "model.onnx"
    write_image_tower(checkpoints["clip-vit-b32"], target)
    return target


@pytest.fixture(scope="session")
def encoder_decoder(
    checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny BLIP-2 with an encoder-decoder in the place of its language model."""
    source = checkpoints["blip2-opt-125m"]
    target = Path(shutil.copytree(source, tmp_path_factory.mktemp("encoder_decoder") / "tiny-flan"))
    config = Blip2Config.from_pretrained(source)
    text = T5Config(d_model=40, d_kv=8, d_ff=64, num_layers=1, num_heads=2, vocab_size=1200)
    config = Blip2Config(
        vision_config=config.vision_config,
        qformer_config=config.qformer_config,
        text_config=text,
        num_query_tokens=config.num_query_tokens,
        image_token_index=config.image_token_index,
    )
    model = Blip2ForConditionalGeneration(config)
    randomise(model)
    model.save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model repository into which `exports` go."""
    return tmp_path_factory.mktemp("model_repository")


class Exports(Mapping[str, ExportReport]):
    """Architecture to the report of its fp32 export, which is made when it is asked for."""

    def __init__(self, checkpoints: Mapping[str, Path], repository: Path) -> None:
        self._checkpoints, self._repository = checkpoints, repository
        self._made: dict[str, ExportReport] = {}

    def __getitem__(self, architecture: str) -> ExportReport:
        if architecture not in self._made:
            checkpoint = self._checkpoints[architecture]
            self._made[architecture] = export_clip(checkpoint, self._repository)
        return self._made[architecture]

    def __iter__(self) -> Iterator[str]:
        return (architecture for architecture in self._checkpoints if architecture not in BLIP2)

    def __len__(self) -> int:
        return len(self._checkpoints) - len(BLIP2)


@pytest.fixture(scope="session")
def exports(checkpoints: Mapping[str, Path], repository: Path) -> Exports:
    """All but BLIP-2's, in `repository`."""
    return Exports(checkpoints, repository)


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the language model of `generation` goes."""
    return tmp_path_factory.mktemp("generators")


@pytest.fixture(scope="session")
def generation(checkpoints: Mapping[str, Path], repository: Path, generators: Path) -> ExportReport:
    """The report of a whole `Blip2ForConditionalGeneration`."""
    return export_blip2(checkpoints["blip2-opt-125m"], repository, generators=generators)


@pytest.fixture(scope="session")
def retrieval(checkpoints: Mapping[str, Path], repository: Path) -> ExportReport:
    """The report of a whole `Blip2ForImageTextRetrieval`."""
    return export_blip2(checkpoints["blip2-itm-vit-g"], repository)
