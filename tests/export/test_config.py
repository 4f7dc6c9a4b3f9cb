"""config.pbtxt, read back with Triton's own ModelConfig."""

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from triptych_export.config import Batching, Tensor, config_text

INPUTS = [Tensor("input_ids", "int64", (-1, -1))]
OUTPUT = Tensor("features", "float32", (-1, 512))


def config(**how: Any) -> Any:
    batching = how.pop("batching", Batching())
    text = config_text("clip-text", INPUTS, OUTPUT, {}, batching, batched=True, **how)
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_a_graph_is_for_onnx_runtime_on_whatever_there_is() -> None:
    read = config()
    assert (read.backend, read.platform) == ("onnxruntime", "")
    assert not read.instance_group
    assert not read.HasField("optimization")


def test_gpus_are_asked_for_by_a_flag() -> None:
    (group,) = config(batching=Batching(gpu=True)).instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert (group.count, list(group.profile)) == (1, [])


def test_a_plan_of_several_profiles_lists_them_all() -> None:
    read = config(plan_profiles=3)
    assert (read.backend, read.platform) == ("", "tensorrt_plan")
    (group,) = read.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert list(group.profile) == ["0", "1", "2"]


@pytest.mark.parametrize(("gpu", "groups"), [(False, 0), (True, 1)])
def test_a_plan_of_one_profile_lists_none(gpu: bool, groups: int) -> None:
    read = config(plan_profiles=1, batching=Batching(gpu=gpu))
    assert read.platform == "tensorrt_plan"
    assert len(read.instance_group) == groups
    assert not any(group.profile for group in read.instance_group)


def test_the_accelerator_is_tensorrt_with_its_options() -> None:
    read = config(accelerator={"trt_profile_min_shapes": "input_ids:1x1"})
    assert read.backend == "onnxruntime"
    (accelerator,) = read.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {"trt_profile_min_shapes": "input_ids:1x1"}
