"""A stand-in for Triton's ONNX Runtime backend, as a Python backend.

The CPU build of Triton that tests install has the Python backend only. With this file as
`backends/onnxruntime/model.py` it serves models whose config says `backend: "onnxruntime"`, so the
model repository is the very folder that NVIDIA's container serves with its native backend.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

DEFAULT_FILE = "model.onnx"


class TritonPythonModel:
    """One instance: one process, one session, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder / (config["default_model_filename"] or DEFAULT_FILE),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Compute the requests that Triton's batcher joined, in one run.

        Their shapes agree beyond the first axis, because the batcher joins only such. Without
        `dynamic_batching` there is one request at a time.
        """
        inputs = [
            [triton.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs]
            for request in requests
        ]
        feed = {
            name: np.concatenate(parts)
            for name, parts in zip(self._inputs, zip(*inputs, strict=True), strict=True)
        }
        try:
            outputs = self._session.run(self._outputs, feed)
        except Exception as error:  # the process must outlive whatever ONNX Runtime raises
            failure = triton.TritonError(str(error))
            return [triton.InferenceResponse(error=failure) for _ in requests]
        ends = np.cumsum([len(first) for first, *_ in inputs])
        rows = [np.split(output, ends[:-1]) for output in outputs]
        return [
            triton.InferenceResponse(
                [triton.Tensor(*named) for named in zip(self._outputs, parts, strict=True)]
            )
            for parts in zip(*rows, strict=True)
        ]
