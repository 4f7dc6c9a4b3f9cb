"""The dashboard of deploy/ asks for series that a real vLLM exports."""

import pytest
from dashboard import VLLM, unanswered
from vllmserver import VllmServer

pytestmark = [pytest.mark.engines, pytest.mark.timeout(400)]


def test_vllm_exports_what_is_asked_of_it(vllm: VllmServer) -> None:
    assert unanswered(VLLM, f"{vllm.url}/metrics") == set()
