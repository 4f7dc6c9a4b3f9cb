"""What importing costs, in fresh interpreters."""

import json
import subprocess
import sys

import pytest

import triptych

HEAVY = (
    "triptych_server",
    "triptych_export",
    "onnxruntime",
    "torch",
    "faiss",
    "transformers",
    "matplotlib",
)
REPORT = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    output = subprocess.run(
        [sys.executable, "-c", f"{code}; {REPORT}"], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(output))


def test_stubs_do_not_load_the_sdk() -> None:
    loaded = modules_after("from triptych.v1 import search_pb2_grpc")
    ours = {name for name in loaded if name.startswith("triptych")}
    assert {name for name in ours if not name.startswith("triptych.v1")} == {"triptych"}
    assert not {"numpy", "PIL", "typer", "rich"} & loaded


@pytest.mark.parametrize(
    "code",
    [
        "from triptych import Client; Client('127.0.0.1:1').close()",
        "import triptych.aio; triptych.aio.Client",
        "import triptych.cli",
    ],
)
def test_client_and_command_line_load_no_server(code: str) -> None:
    loaded = modules_after(code)
    assert not [name for name in loaded if name.startswith(HEAVY)]


def test_importing_the_client_takes_less_than_a_second() -> None:
    code = (
        "import time; start = time.process_time(); from triptych import Client; "
        "Client('127.0.0.1:1').close(); print(time.process_time() - start)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(output.stdout) < 1


@pytest.mark.parametrize("name", triptych.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(triptych, name) is not None
    assert name in dir(triptych)


def test_other_names_do_not_resolve() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = triptych.nothing
