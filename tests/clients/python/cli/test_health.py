"""`triptych health`, against gateways in every state."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ports import quiet_port

from triptych_server.launch import GatewayProcess


def test_serving_gateway_is_told_in_one_line(run: Any, gateway: str) -> None:
    assert run("health").stdout == f"{gateway}: SERVING\n"


def test_services_are_told_apart(run: Any) -> None:
    service = "triptych.v1.SearchService"
    assert run("health", "--service", service).stdout == f"{service}: SERVING\n"
    unknown = run("health", "--service", "triptych.v1.Any", expect=1)
    assert unknown.stdout == "triptych.v1.Any: SERVICE_UNKNOWN\n"


def test_gateway_that_cannot_work_fails_the_probe(run: Any, tmp_path: Path) -> None:
    flags = ("--services", "embedding", "--repository", tmp_path)
    with GatewayProcess(*flags, log=tmp_path / "log") as process:
        failed = run("health", "--target", process.target, expect=1)
        assert failed.stdout == f"{process.target}: NOT_SERVING\n"
        model = ("--service", "triptych.v1.ModelService")
        assert "SERVING" in run("health", "--target", process.target, *model).stdout


@pytest.mark.parametrize("wait", [0, 0.6])
def test_no_gateway_is_an_error_in_one_line(run: Any, wait: float) -> None:
    failed = run("health", "--target", "127.0.0.1:1", "--wait", wait, expect=1)
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: UNAVAILABLE: ")
    assert failed.stderr.count("\n") == 1


def test_gateway_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    probe = [sys.executable, "-m", "triptych", "health", "--wait", "60", "--target"]
    with quiet_port() as port:
        target = f"127.0.0.1:{port}"
        flags = ("--services", "embedding", "--port", str(port))
        with (
            subprocess.Popen([*probe, target], stdout=subprocess.PIPE, text=True) as waiting,
            GatewayProcess(*flags, log=tmp_path / "log"),
        ):
            out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (0, f"{target}: SERVING\n")
