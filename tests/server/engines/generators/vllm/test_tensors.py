"""Files of torch.save that torch did not write."""

import io

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from triptych_server.engines.generators.vllm.tensors import torch_file

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
TENSORS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0), elements=FLOATS)


@given(TENSORS)
def test_torch_reads_what_was_written(array: npt.NDArray[np.float32]) -> None:
    tensor = torch.load(io.BytesIO(torch_file(array)), weights_only=True)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_an_array_of_other_strides_is_written_in_its_order() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-1]
    tensor = torch.load(io.BytesIO(torch_file(array)), weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_equal_tensors_are_equal_files() -> None:
    array = np.ones((3, 4), np.float32)
    assert torch_file(array) == torch_file(array.copy())
