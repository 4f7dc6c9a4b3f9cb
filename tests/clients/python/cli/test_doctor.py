import json
import os
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from triptych_server.settings import SHIPPED_REPOSITORY


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The shipped repository with a tokenizer that is not its own."""
    shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "models")
    (tmp_path / "models" / "miniworld-clip-text" / "tokenizer.json").write_text("{}")
    return tmp_path / "models"


def test_all_is_well_on_the_shipped_models_and_the_running_gateway(
    run: Any, gateway: str, tmp_path: Path
) -> None:
    flags = ("--data", tmp_path / "data", "--port", 0, "--timeout", 60)
    lines = run("doctor", *flags).stdout.splitlines()
    assert lines[-1] == "no problems, no warnings"
    assert any("miniworld-clip" in line and "embedding (default)" in line for line in lines)
    # The target is that of TRIPTYCH_TARGET, as for any command.
    assert any(gateway in line and "answers" in line for line in lines)


def test_problems_come_first_each_over_what_mends_it(
    run: Any, tmp_path: Path, broken: Path
) -> None:
    flags = ("--data", tmp_path / "data", "--port", 0, "--repository", broken, "--timeout", 60)
    output = run("doctor", *flags, expect=1).stdout
    fault, remedy, *_ = output.splitlines()
    assert fault.startswith("problem  models: miniworld-clip: miniworld-clip-text: tokenizer.json")
    assert remedy.strip().startswith("triptych export clip miniworld-clip --repository ")
    assert remedy.endswith("--overwrite")  # not wrapped, for pasting
    assert output.splitlines()[-1] == "1 problem, no warnings"


def test_json_has_every_finding_with_its_remedy(
    run_json: Any, tmp_path: Path, broken: Path
) -> None:
    flags = ("--data", tmp_path / "data", "--port", 0, "--repository", broken, "--timeout", 60)
    document = run_json("doctor", *flags, expect=1)
    assert (document["problems"], document["warnings"]) == (1, 0)
    for finding in document["findings"]:
        assert set(finding) == {"area", "what", "verdict", "detail", "remedy"}
    verdicts = [finding["verdict"] for finding in document["findings"]]
    assert verdicts.count("problem") == 1
    areas = [finding["area"] for finding in document["findings"]]
    assert [area for area, _ in groupby(areas)] == list(dict.fromkeys(areas))  # each in one piece
    assert {"installation", "machine", "gpu", "settings", "data", "models", "gateway"} <= set(areas)


def test_refused_settings_are_findings_and_not_the_end(run_json: Any, tmp_path: Path) -> None:
    config = tmp_path / "triptych.toml"
    config.write_text('encoders = "cuda"\nqueue_rows = 0\n')
    flags = ("--config", config, "--timeout", 60)
    findings = run_json("doctor", *flags, expect=1)["findings"]
    refused = {f["what"] for f in findings if f["verdict"] == "problem"}
    assert refused == {"encoders", "queue_rows"}
    assert any(f["area"] == "gateway" for f in findings)


def test_without_the_server_extra_it_tells_what_the_client_can(gateway: str) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    absent = (
        "pydantic_settings",
        "onnxruntime",
        "faiss",
        "tritonclient",
        "grpc_reflection",
    )
    code = f"import sys; sys.modules.update(dict.fromkeys({absent}, None)); "
    command = ["doctor", "--target", gateway, "--timeout", "60", "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}from triptych.cli import main; main()", *command],
        capture_output=True,
        text=True,
    )
    findings = {f["what"]: f for f in json.loads(ran.stdout)["findings"]}
    assert findings[gateway]["verdict"] == "ok"
    assert findings["api"]["remedy"] == "pip install 'triptych[server]'"
    assert ran.returncode == 0, findings


def test_a_file_system_that_hangs_does_not_hold_up_the_rest_or_the_end(tmp_path: Path) -> None:
    model = tmp_path / "models" / "model"
    model.mkdir(parents=True)
    os.mkfifo(model / "config.pbtxt")  # reading it waits for a writer, for ever
    flags = ["--repository", tmp_path / "models", "--data", tmp_path / "data", "--port", "0"]
    ran = subprocess.run(
        [sys.executable, "-m", "triptych", "doctor", *flags, "--timeout", "0.5", "--json"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 1, ran.stderr
    findings = {f["what"]: f for f in json.loads(ran.stdout)["findings"]}
    assert findings["onnx"]["detail"] == "did not answer within 2 s"
    assert findings["cores"]["verdict"] == "ok"
