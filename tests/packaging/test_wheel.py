"""The wheel, installed in an environment of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(folder), str(ROOT)], check=True)
    [built] = folder.glob("triptych-*.whl")
    return built


class Environment:
    """A virtual environment with the wheel and an extra, entered from an empty folder."""

    def __init__(self, folder: Path, wheel: Path, extra: str = "") -> None:
        self._folder = folder / "elsewhere"
        self._folder.mkdir()
        self._bin = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        constraints = str(ROOT / "constraints.txt")
        requirement = f"triptych{extra} @ {wheel.as_uri()}"
        install = [str(self._bin / "python"), "-m", "pip", "install", "--quiet", "-c", constraints]
        subprocess.run([*install, requirement], check=True)

    def popen(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self._folder,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        process = self.popen(*command)
        out, err = process.communicate()
        return process.returncode, out, err


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return Environment(tmp_path_factory.mktemp("client"), wheel)


def test_base_install_is_the_client_alone(client: Environment) -> None:
    code, out, err = client.run("python", "-m", "pip", "list", "--format", "json")
    assert code == 0, err
    names = {each["name"] for each in json.loads(out)}
    assert "grpcio" in names
    assert not names & {"onnxruntime", "faiss-cpu", "torch", "transformers", "tritonclient"}


def test_client_imports_in_under_a_second(client: Environment) -> None:
    script = "import time; t = time.perf_counter(); import triptych; triptych.Client; "
    script += "import triptych.aio; print(time.perf_counter() - t)"
    runs = [client.run("python", "-c", script) for _ in range(3)]
    assert all(code == 0 for code, _, _ in runs), runs
    assert min(float(out) for _, out, _ in runs) < 1


def test_stubs_do_not_load_the_client(client: Environment) -> None:
    script = (
        "import sys; from triptych.v1 import search_pb2_grpc; "
        "print([name for name in sys.modules if name in ('numpy', 'PIL', 'triptych.client')])"
    )
    assert client.run("python", "-c", script)[1].strip() == "[]"


def test_command_without_its_extra_says_what_to_install(client: Environment) -> None:
    code, out, err = client.run("triptych", "serve")
    assert code != 0
    assert out == ""
    assert "pip install 'triptych[server]'" in err
    assert "Traceback" not in err


def test_the_doctor_of_a_client_alone_says_what_makes_it_a_gateway(client: Environment) -> None:
    code, out, err = client.run("triptych", "doctor")
    assert code == 0, out + err
    assert "pip install 'triptych[server]'" in out


def test_server_install_serves_the_shipped_models_from_anywhere(
    tmp_path: Path, wheel: Path
) -> None:
    server = Environment(tmp_path, wheel, "[server]")
    listed = server.run("python", "-m", "pip", "list")[1]
    assert not re.search(r"^(torch|transformers) ", listed, re.MULTILINE)
    process = server.popen("triptych", "serve", "--port", "0")
    try:
        assert process.stdout is not None
        target = process.stdout.readline().split()[-1]
        code, out, err = server.run(
            "triptych", "embed", "a red circle", "--target", target, "--json"
        )
        assert code == 0, err
        assert json.loads(out)
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0
