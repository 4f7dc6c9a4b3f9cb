"""What runs here tells nobody of it."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "triptych_server.engines.encoders.onnx",
        "triptych_server.engines.generators.decoder",
        "triptych_export.parity",
    ],
)
def test_onnx_runtime_makes_no_identifier_of_this_machine(module: str, tmp_path: Path) -> None:
    # It makes one before it sends anything, but never where a variable says that this is CI.
    environment = {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
