"""Servers of language models: absent ones, others, and a real vLLM."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from findings import Findings, faults
from vllmserver import VllmServer

from triptych_server.doctor import Verdict

if TYPE_CHECKING:
    from generators import TinyGenerator

Engines = Callable[..., Findings]


def test_each_server_that_does_not_answer_is_told(engines: Engines) -> None:
    found = faults(engines(generator="http://127.0.0.1:1,http://127.0.0.1:2"))
    assert [fault.what for fault in found] == [
        "vllm http://127.0.0.1:1",
        "vllm http://127.0.0.1:2",
    ]
    assert found[0].remedy == "curl -i http://127.0.0.1:1/v1/models"


def test_the_model_of_a_table_is_told_with_the_command_that_serves_it(engines: Engines) -> None:
    table = {"name": "qwen", "urls": ["http://127.0.0.1:1"], "served_name": "Qwen"}
    found = {fault.what: fault for fault in faults(engines(remote_generators=[table]))}
    assert set(found) == {"vllm http://127.0.0.1:1", "qwen"}
    assert found["qwen"].remedy == "vllm serve CHECKPOINT --served-model-name Qwen"


@pytest.mark.parametrize(
    ("style", "flags"),
    [
        ("prompt_embeds", "--enable-prompt-embeds"),
        ("image_embeds", """--enable-mm-embeds --limit-mm-per-prompt '{"image": 0}'"""),
    ],
)
def test_of_a_folder_the_command_serves_what_the_export_writes_for_vllm(
    engines: Engines, repository: Path, style: str, flags: str
) -> None:
    name = "miniworld-blip2"
    written = repository.parent / "generators" / name / "checkpoint"
    table = {"name": name, "style": style, "urls": ["http://127.0.0.1:1"]}
    for checkpoint in ("CHECKPOINT", written):
        [fault] = [each for each in faults(engines(remote_generators=[table])) if each.what == name]
        assert fault.remedy == f"vllm serve {checkpoint} --served-model-name {name} {flags}"
        written.mkdir(exist_ok=True)


def test_a_server_that_never_answers_is_told_after_the_timeout(engines: Engines) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        [fault] = faults(engines(generator=url, timeout_s=0.1))
    assert "nothing came within 0.1 s" in fault.detail


class Proxy(BaseHTTPRequestHandler):
    """What stands before many servers: it asks for a key, and else knows of no such page."""

    def do_GET(self) -> None:
        authorised = self.headers["Authorization"] == "Bearer secret"
        self.send_response(404 if authorised else 401)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_wants_a_key_or_lists_no_models_is_told(
    engines: Engines, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [fault] = faults(engines(generator=proxy))
    assert fault.detail == "refuses: it wants an API key: set api_key_env"
    monkeypatch.setenv("VLLM_KEY", "wrong")
    [fault] = faults(engines(generator=proxy, generator_api_key_env="VLLM_KEY"))
    assert fault.detail == "refuses: it wants its API key"
    assert '-H "Authorization: Bearer $VLLM_KEY"' in fault.remedy
    monkeypatch.setenv("VLLM_KEY", "secret")
    [fault] = faults(engines(generator=proxy, generator_api_key_env="VLLM_KEY"))
    assert fault.detail == "lists no models: /v1/models answers 404"


def test_a_key_that_is_not_set_is_told(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_KEY", raising=False)
    found = faults(engines(generator="http://127.0.0.1:1", generator_api_key_env="VLLM_KEY"))
    assert any("VLLM_KEY must hold an API key" in fault.detail for fault in found)


def test_without_the_service_that_writes_no_server_is_asked(engines: Engines) -> None:
    assert not faults(engines(generator="http://127.0.0.1:1", services="embedding"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> "TinyGenerator":
    from generators import write_tiny_generator  # loads torch, for seconds

    return write_tiny_generator(tmp_path_factory.mktemp("generators"), name="tiny")


@pytest.fixture(scope="module")
def vllm(tiny: "TinyGenerator") -> Iterator[VllmServer]:
    """A real vLLM that serves the network of `tiny`, and takes no embeddings."""
    checkpoint = tiny.folder / "checkpoint"  # where the export writes it
    tiny.model.save_pretrained(checkpoint)
    tiny.tokenizer.save_pretrained(checkpoint)
    with VllmServer(checkpoint, "--max-model-len", "128", name="tiny") as server:
        yield server


@pytest.mark.engines
@pytest.mark.timeout(600)
def test_a_real_vllm_is_told_with_its_models(
    engines: Engines, vllm: VllmServer, tmp_path: Path
) -> None:
    found = engines(generator=vllm.url, generators=tmp_path)
    assert not faults(found)
    detail = found[f"vllm {vllm.url}"][0].detail
    assert detail.startswith("vLLM 0.")
    assert detail.endswith("serves tiny (128 tokens)")
    assert found["tiny"][0].verdict is Verdict.OK
    assert "chat" in found["tiny"][0].detail


@pytest.mark.engines
@pytest.mark.timeout(600)
def test_a_name_that_a_real_vllm_does_not_serve_is_told(engines: Engines, vllm: VllmServer) -> None:
    table = {"name": "qwen", "served_name": "Qwen", "urls": [vllm.url]}
    found = faults(engines(remote_generators=[table]))
    assert {fault.what for fault in found} == {"qwen"}
    assert found[0].remedy == "vllm serve CHECKPOINT --served-model-name Qwen"


@pytest.mark.engines
@pytest.mark.timeout(600)
@pytest.mark.parametrize("load", [False, True])
def test_a_real_vllm_that_takes_no_embeddings_is_told(
    engines: Engines, vllm: VllmServer, tiny: "TinyGenerator", load: bool
) -> None:
    [fault] = faults(engines(generator=vllm.url, generators=tiny.folder.parent, load=load))
    assert fault.what == "tiny"
    checkpoint = tiny.folder / "checkpoint"
    served = f"vllm serve {checkpoint} --served-model-name tiny"
    assert fault.remedy == f"{served} --enable-prompt-embeds"
