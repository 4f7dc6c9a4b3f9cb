"""From a checkpoint to encoders that a gateway serves."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from served import gateway_features, gateway_pixels, read_spec, run
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, Dinov2Model

from triptych_export.errors import ParityError, RepositoryError
from triptych_export.parity import FLOORS, Precision, Samples, measure
from triptych_export.pipeline import export_clip
from triptych_export.precision import SCHEMES
from triptych_export.report import ExportReport
from triptych_export.samples import draw_pictures
from triptych_server.engines.encoders.spec import Role
from triptych_server.settings import SHIPPED_REPOSITORY

CONTRASTIVE = ["clip-vit-b32", "chinese-clip-vit-b16", "siglip-b16-224"]
EVERY = [*CONTRASTIVE, "dinov2-base"]
CAPTIONS = ["two cats on a sofa", "一只狗在海滩上奔跑", "", "a very long caption " * 60]


@pytest.mark.parametrize("architecture", EVERY)
def test_fp32_parity_is_far_within_its_floor(
    exports: Mapping[str, ExportReport], architecture: str
) -> None:
    for encoder in exports[architecture].encoders:
        assert encoder.parity.cosine is not None
        assert encoder.parity.cosine > 0.99999
        assert encoder.parity.max_abs_difference < 1e-5
        assert encoder.parity.company < 1e-5
        assert encoder.parity.adversarial_company < 1e-5
        assert encoder.parity.variation > 1e-2


@pytest.mark.parametrize("architecture", EVERY)
def test_the_gateway_understands_every_config(
    exports: Mapping[str, ExportReport], repository: Path, architecture: str
) -> None:
    report = exports[architecture]
    specs = [read_spec(repository / encoder.folder) for encoder in report.encoders]
    assert [spec.name for spec in specs] == [encoder.folder for encoder in report.encoders]
    assert {spec.model for spec in specs} == {architecture}
    assert {spec.space for spec in specs} == {report.space}
    assert {spec.precision for spec in specs} == {"fp32"}
    assert [spec.output for spec in specs] == [encoder.shape for encoder in report.encoders]
    assert specs[0].role is Role.IMAGE
    assert specs[0].image is not None
    assert (specs[0].image.height, specs[0].image.width) == (32, 32)
    assert [spec.role for spec in specs[1:]] == [Role.TEXT] * (architecture in CONTRASTIVE)
    assert all((spec.scoring is not None) == (architecture in CONTRASTIVE) for spec in specs)


def test_preprocessing_is_that_of_each_checkpoint(
    exports: Mapping[str, ExportReport], repository: Path
) -> None:
    images = {name: report.encoders[0].folder for name, report in exports.items()}
    edges = {name: read_spec(repository / folder).image for name, folder in images.items()}
    assert {name: image and image.shortest_edge for name, image in edges.items()} == {
        "clip-vit-b32": 32,
        "chinese-clip-vit-b16": 32,
        "siglip-b16-224": None,
        "dinov2-base": 36,
    }
    texts = {name: read_spec(repository / f"{name}-text").text for name in CONTRASTIVE}
    assert {name: text and text.lengths for name, text in texts.items()} == {
        "clip-vit-b32": (8, 16, 32, 64, 77),
        "chinese-clip-vit-b16": (8, 16, 32, 52),
        "siglip-b16-224": (64,),
    }


@pytest.mark.parametrize("architecture", EVERY)
def test_the_gateway_resizes_as_the_checkpoints_processor_does(
    exports: Mapping[str, ExportReport],
    checkpoints: Mapping[str, Path],
    repository: Path,
    architecture: str,
) -> None:
    processor = AutoImageProcessor.from_pretrained(checkpoints[architecture], backend="pil")
    pictures = draw_pictures(6, seed=7)
    own = np.stack(processor(pictures, do_rescale=False, do_normalize=False)["pixel_values"])
    folder = repository / exports[architecture].encoders[0].folder
    pixels = gateway_pixels(pictures, read_spec(folder))
    difference = np.abs(pixels.transpose(0, 3, 1, 2).astype(int) - own)
    assert difference.mean(axis=(1, 2, 3)).max() < 0.1
    assert difference.max() <= 3


@pytest.mark.parametrize("architecture", CONTRASTIVE)
def test_served_logits_equal_those_of_transformers(
    exports: Mapping[str, ExportReport],
    checkpoints: Mapping[str, Path],
    repository: Path,
    architecture: str,
) -> None:
    """The whole way: the gateway's preprocessing, the ONNX towers, the scale and the bias."""
    spec = read_spec(repository / exports[architecture].encoders[0].folder)
    assert spec.scoring is not None
    # Pictures of the encoder's size, so that no resampling blurs the comparison.
    pictures = [picture.resize((32, 32)) for picture in draw_pictures(3, seed=5)]
    images = run(repository / spec.name, {"pixels": gateway_pixels(pictures, spec)})
    texts = gateway_features(repository, architecture, CAPTIONS)
    logits = spec.scoring.logit_scale * images @ texts.T + spec.scoring.logit_bias
    assert np.abs(logits - reference_logits(checkpoints[architecture], pictures)).max() < 1e-3


def reference_logits(checkpoint: Path, pictures: list[Image.Image]) -> np.ndarray:
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    siglip = model.config.model_type == "siglip"
    tokens = tokenizer(
        CAPTIONS,
        truncation=True,
        max_length=52 if model.config.model_type == "chinese_clip" else None,
        padding="max_length" if siglip else True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        pixels = processor(pictures, return_tensors="pt")
        return model(**tokens, **pixels).logits_per_image.numpy()


def test_dinov2_gives_the_normalised_class_token(
    exports: Mapping[str, ExportReport], checkpoints: Mapping[str, Path], repository: Path
) -> None:
    spec = read_spec(repository / exports["dinov2-base"].encoders[0].folder)
    pictures = [Image.new("RGB", (36, 36), colour) for colour in ("red", "navy", "white")]
    features = run(repository / spec.name, {"pixels": gateway_pixels(pictures, spec)})
    model = Dinov2Model.from_pretrained(checkpoints["dinov2-base"]).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoints["dinov2-base"], backend="pil")
    with torch.inference_mode():
        token = model(**processor(pictures, return_tensors="pt")).last_hidden_state[:, 0]
    expected = torch.nn.functional.normalize(token).numpy()
    assert np.abs(features - expected).max() < 1e-5


def test_a_damaged_graph_is_refused_and_nothing_is_left_behind(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(source: Path, target: Path, calibration: object) -> None:
        model = onnx.load(source)
        weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = numpy_helper.to_array(weight) * 1.05
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))
        onnx.save(model, target)

    monkeypatch.setitem(SCHEMES, Precision.FP32, {"fp32": damage})
    with pytest.raises(ParityError, match=r"dinov2-base-image .* max abs difference .* > 0\.0001"):
        export_clip(checkpoints["dinov2-base"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_sees_no_difference_is_refused(
    exports: Mapping[str, ExportReport], repository: Path
) -> None:
    folder = repository / exports["dinov2-base"].encoders[0].folder
    same = {"pixels": np.full((8, 32, 32, 3), 7, np.uint8)}
    samples = Samples("same", same, run(folder, same), same)
    parity = measure(folder / "1" / "model.onnx", "features", [samples])
    failures = parity.failures(FLOORS[Precision.FP32])
    assert any("outputs vary by 0.00e+00" in failure for failure in failures)


def test_a_taken_name_is_refused_unless_overwritten(
    exports: Mapping[str, ExportReport], checkpoints: Mapping[str, Path], repository: Path
) -> None:
    config = repository / exports["dinov2-base"].encoders[0].folder / "config.pbtxt"
    before = config.read_text()
    with pytest.raises(RepositoryError, match="dinov2-base-image is there already"):
        export_clip(checkpoints["dinov2-base"], repository)
    assert config.read_text() == before


def test_encoders_of_the_overwritten_checkpoint_are_gone(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    text = "miniworld-clip-text"
    shutil.copytree(SHIPPED_REPOSITORY / text, tmp_path / text)
    with pytest.raises(RepositoryError, match=f"{text} is there already"):
        export_clip(checkpoints["dinov2-base"], tmp_path, name="miniworld-clip")
    export_clip(checkpoints["dinov2-base"], tmp_path, name="miniworld-clip", overwrite=True)
    assert [folder.name for folder in tmp_path.iterdir()] == ["miniworld-clip-image"]


def test_the_report_is_json_and_states_figures_and_floors(
    exports: Mapping[str, ExportReport],
) -> None:
    report = json.loads(json.dumps(exports["clip-vit-b32"].to_json()))
    assert report["floor"]["cosine"] == 0.9999
    assert report["encoders"][1]["folder"] == "clip-vit-b32-text"
    assert report["encoders"][1]["parity"]["samples"] > 40
    assert "floor 0.9999" in str(exports["clip-vit-b32"])
