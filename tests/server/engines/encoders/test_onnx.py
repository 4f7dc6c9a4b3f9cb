"""What the in-process engine says of encoders that it cannot run."""

from pathlib import Path

import pytest
from tiny_encoders import IMAGE, write_image_encoder

from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.errors import Unavailable


async def fault(repository: Path) -> str:
    """Why `image` is not ready; that `other` beside it is, is checked too."""
    write_image_encoder(repository / "other")
    engine = OnnxEngine(repository, threads=1, queue_rows=8)
    await engine.load()
    try:
        await engine.ready("other")
        with pytest.raises(Unavailable) as error:
            await engine.ready("image")
    finally:
        await engine.close()
    return str(error.value)


@pytest.mark.parametrize("kind", ['platform: "tensorrt_plan"', 'backend: "tensorrt"'])
async def test_a_tensorrt_plan_is_told_with_the_commands_that_serve_it(
    tmp_path: Path, kind: str
) -> None:
    write_image_encoder(tmp_path / "image")
    config = tmp_path / "image" / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "onnxruntime"', kind))
    (tmp_path / "image" / "1" / "model.onnx").rename(tmp_path / "image" / "1" / "model.plan")
    told = await fault(tmp_path)
    assert told.startswith("image: it is a TensorRT plan, which only Triton runs, on a GPU: ")
    assert f"tritonserver --model-repository={tmp_path}" in told
    assert f"triptych serve --encoders triton://HOST:8001 --assets {tmp_path}" in told


async def test_bf16_is_told_to_need_a_gpu(tmp_path: Path) -> None:
    write_image_encoder(tmp_path / "image", parameters=IMAGE | {"precision": "bf16"})
    told = await fault(tmp_path)
    assert told.startswith("image: it computes in bf16, for which ONNX Runtime needs a GPU: ")
