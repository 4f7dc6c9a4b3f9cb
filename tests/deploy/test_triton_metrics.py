"""The dashboard asks for series that a real Triton exports."""

import pytest
from dashboard import TRITON, unanswered
from tritonserver import TritonServer

from triptych_server.settings import SHIPPED_REPOSITORY

pytestmark = pytest.mark.engines

# Of GPUs, which the Triton here has none of.
GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes"}


def test_triton_exports_what_is_asked_of_it() -> None:
    with TritonServer(SHIPPED_REPOSITORY) as triton:
        assert unanswered(TRITON, f"http://{triton.metrics}/metrics") == GPU
