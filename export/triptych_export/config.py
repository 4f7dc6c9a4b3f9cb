"""config.pbtxt: what Triton and the gateway read of an encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

_DATA_TYPES = {
    "uint8": model_config_pb2.DataType.TYPE_UINT8,
    "int64": model_config_pb2.DataType.TYPE_INT64,
    "float32": model_config_pb2.DataType.TYPE_FP32,
}


@dataclass(frozen=True, slots=True)
class Batching:
    """How servers run an encoder: most rows, batches worth waiting for, one instance a GPU."""

    max_batch_size: int = 64
    preferred: Sequence[int] = (4, 8)
    gpu: bool = False

    def __post_init__(self) -> None:
        if self.max_batch_size < 1:
            raise ValueError(f"max_batch_size must be at least 1, not {self.max_batch_size}")
        if any(size < 1 for size in self.preferred):
            raise ValueError(f"preferred batch sizes must be at least 1, not {self.preferred}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: numpy's name of its type, and its whole shape, -1 where it is dynamic."""

    name: str
    dtype: str
    shape: Sequence[int]


def config_text(
    name: str,
    inputs: Sequence[Tensor],
    output: Tensor,
    parameters: Mapping[str, str],
    batching: Batching,
    *,
    batched: bool,
    plan_profiles: int = 0,
    accelerator: Mapping[str, str] | None = None,
) -> str:
    """A ModelConfig in protobuf's text format; `parameters` without their prefix `triptych.`.

    Unless it is `batched`, servers leave requests as they are, and shapes keep their first axis. It
    is of an ONNX graph, with the options of Triton's TensorRT `accelerator` if given, or of a
    TensorRT plan of `plan_profiles` profiles.
    """
    config = model_config_pb2.ModelConfig(name=name)
    if plan_profiles:
        config.platform = "tensorrt_plan"
    else:
        config.backend = "onnxruntime"
    first = 1 if batched else 0
    for declared, tensors in ((config.input, inputs), (config.output, [output])):
        for tensor in tensors:
            kind = _DATA_TYPES[tensor.dtype]
            declared.add(name=tensor.name, data_type=kind, dims=tensor.shape[first:])
    if batched:
        config.max_batch_size = batching.max_batch_size
        config.dynamic_batching.preferred_batch_size.extend(
            size for size in batching.preferred if size <= batching.max_batch_size
        )
    if batching.gpu or plan_profiles > 1:
        group = config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_GPU)
        group.count = 1
        if plan_profiles > 1:  # Triton takes the first profile alone unless they are listed
            group.profile.extend(str(number) for number in range(plan_profiles))
    if accelerator is not None:
        accelerators = config.optimization.execution_accelerators
        accelerators.gpu_execution_accelerator.add(name="tensorrt", parameters=accelerator)
    for key, value in parameters.items():
        config.parameters[f"triptych.{key}"].string_value = value
    return str(text_format.MessageToString(config))
