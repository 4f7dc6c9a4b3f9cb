"""What each precision does to a network, and what its floor catches."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from triptych_export.checkpoint import load_checkpoint
from triptych_export.encoder import Encoder
from triptych_export.image_encoder import ImageEncoder, ImageFeatures
from triptych_export.mixed import Mixed, write_mixed
from triptych_export.parity import FLOORS, Parity, Precision, measure
from triptych_export.precision import SCHEMES
from triptych_export.report import ExportReport
from triptych_export.samples import draw_pictures
from triptych_export.text_encoder import TextEncoder, TextFeatures
from triptych_export.text_samples import TextSamples


@pytest.fixture(scope="module", params=["image", "text"])
def encoder(request: pytest.FixtureRequest, checkpoints: Mapping[str, Path]) -> Encoder:
    checkpoint = load_checkpoint(checkpoints["clip-vit-b32"])
    if request.param == "image":
        return ImageEncoder(checkpoint, draw_pictures(32), ImageFeatures(checkpoint))
    assert checkpoint.text is not None
    table = checkpoint.model.text_model.get_input_embeddings().weight
    texts = TextSamples(checkpoint.text, checkpoint.tokenizer, table)
    return TextEncoder(texts, TextFeatures(checkpoint))


@pytest.fixture
def fp32(encoder: Encoder, exports: Mapping[str, ExportReport], repository: Path) -> Path:
    suffix = encoder.role.value.removesuffix("_encoder")
    return repository / f"{exports['clip-vit-b32'].model}-{suffix}" / "1" / "model.onnx"


def write_16_bits(encoder: Encoder, precision: Precision, source: Path, target: Path) -> Mixed:
    copied = target.with_name("source")
    shutil.copytree(source.parent, copied)  # what is tried out is written beside the source
    return write_mixed(copied / source.name, target, precision, [], "features", encoder.samples())


def convert(
    encoder: Encoder, precision: Precision, scheme: str, source: Path, target: Path
) -> Parity:
    SCHEMES[precision][scheme](source, target, encoder.calibration())
    return measure(target, "features", encoder.samples())


@pytest.mark.parametrize(
    ("precision", "onnx_type", "rounding"),
    [
        (Precision.FP16, onnx.TensorProto.FLOAT16, 1e-5),
        (Precision.BF16, onnx.TensorProto.BFLOAT16, 1e-4),
    ],
)
def test_16_bits_halve_the_weights_and_reach_their_floor(
    encoder: Encoder,
    fp32: Path,
    tmp_path: Path,
    precision: Precision,
    onnx_type: int,
    rounding: float,
) -> None:
    target = tmp_path / "model.onnx"
    mixed = write_16_bits(encoder, precision, fp32, target)
    assert mixed.kept == ()
    assert mixed.parity.failures(FLOORS[precision]) == []
    assert mixed.parity.max_abs_difference > rounding  # it was converted indeed
    if precision is Precision.FP16:  # which ONNX Runtime computes on CPUs as well
        parity = measure(target, "features", encoder.samples())
        assert parity.failures(FLOORS[precision]) == []
        assert parity.max_abs_difference > rounding
    model = onnx.load(target)
    onnx.checker.check_model(model)
    tensor = model.graph.output[0].type.tensor_type
    assert tensor.elem_type == onnx.TensorProto.FLOAT
    products = [node.input[1] for node in model.graph.node if node.op_type == "MatMul"]
    weights = [t for t in model.graph.initializer if t.name in products]
    assert {t.data_type for t in weights} == {onnx_type}


def test_static_int8_reaches_its_floor_beside_adversarial_rows(
    encoder: Encoder, fp32: Path, tmp_path: Path
) -> None:
    parity = convert(encoder, Precision.INT8, "int8 static", fp32, tmp_path / "model.onnx")
    assert parity.failures(FLOORS[Precision.INT8]) == []
    assert parity.adversarial_company < 1e-5


def test_dynamic_int8_is_caught_letting_rows_change_each_other(
    encoder: Encoder, fp32: Path, tmp_path: Path
) -> None:
    parity = convert(encoder, Precision.INT8, "int8 dynamic", fp32, tmp_path / "model.onnx")
    failures = parity.failures(FLOORS[Precision.INT8])
    assert any("beside adversarial rows" in failure for failure in failures)
    assert parity.cosine is not None
    assert parity.cosine > FLOORS[Precision.INT8].cosine


def test_large_networks_keep_their_weights_in_a_second_file(
    encoder: Encoder, fp32: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "fp32" / "model.onnx", tmp_path / "fp16" / "model.onnx"
    source.parent.mkdir()
    target.parent.mkdir()
    onnx.save(onnx.load(fp32), source, save_as_external_data=True, location="model.onnx.data")
    mixed = write_mixed(source, target, Precision.FP16, [], "features", encoder.samples())
    assert mixed.parity.failures(FLOORS[Precision.FP16]) == []
    parity = measure(target, "features", encoder.samples())
    assert parity.failures(FLOORS[Precision.FP16]) == []
    assert {file.name for file in target.parent.iterdir()} == {"model.onnx", "model.onnx.data"}


def test_not_a_number_reaches_no_floor() -> None:
    nothing = Parity(
        samples=8,
        cosine=np.nan,
        centred_cosine=np.nan,
        max_abs_difference=np.nan,
        company=np.nan,
        adversarial_company=np.nan,
        variation=np.nan,
    )
    assert len(nothing.failures(FLOORS[Precision.INT8])) == 6
