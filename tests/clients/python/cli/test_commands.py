import subprocess
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from language import FUSED, TWO_STEP

from triptych.v1 import model_pb2, model_pb2_grpc


def test_help_lists_every_command_and_loads_none_of_the_extras(run: Any) -> None:
    listed = run("--help").stdout
    for command in [
        "serve",
        "doctor",
        "embed",
        "rank",
        "caption",
        "ask",
        "chat",
        "collection",
        "item",
        "ingest",
        "search",
        "models",
        "health",
        "export",
        "eval",
    ]:
        assert f" {command} " in listed


def test_the_version_is_that_of_the_package(run: Any) -> None:
    assert run("--version").stdout.strip() == metadata.version("triptych")


@pytest.mark.parametrize(
    ("command", "library", "extra"),
    [
        (["serve"], "pydantic_settings", "server"),
        (["export", "clip", "x", "--repository", "y"], "transformers", "export"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(command: list[str], library: str, extra: str) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    code = f"import sys; sys.modules[{library!r}] = None; from triptych.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stdout == ""
    needs = f"error: triptych {command[0]} needs the {extra} extra: "
    assert ran.stderr == f"{needs}pip install 'triptych[{extra}]'\n"


def test_embed_takes_texts_and_files(run: Any, run_json: Any, pictures: Path) -> None:
    red = pictures / "circles" / "red.png"
    document = run_json("embed", "a red circle", red)
    vectors = np.array([result["vector"] for result in document["results"]])
    assert vectors.shape[0] == 2
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [result["input"] for result in document["results"]] == ["a red circle", str(red)]
    assert document["timing"]["batch_size"] >= 1
    assert str(vectors.shape[1]) in run("embed", "a red circle").stdout


def test_embed_saves_vectors(run: Any, tmp_path: Path) -> None:
    run("embed", "a", "b", "c", "--output", tmp_path / "vectors.npy")
    saved = np.load(tmp_path / "vectors.npy")
    assert (saved.shape[0], saved.dtype) == (3, np.float32)


def test_embed_shows_the_input_that_failed(run_json: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    good, bad = run_json("embed", "a", broken, expect=1)["results"]
    assert good["error"] is None
    assert bad["vector"] is None
    assert (bad["error"]["code"], bad["error"]["reason"]) == (
        "INVALID_ARGUMENT",
        "IMAGE_UNREADABLE",
    )


def test_a_misspelt_file_is_not_taken_for_text(run: Any) -> None:
    assert "no such file: missing.jpg" in run("embed", "missing.jpg", expect=2).stderr


def test_rank_orders_the_labels(run: Any, run_json: Any, pictures: Path) -> None:
    command = ("rank", pictures / "circles" / "green.png", "red", "green", "--template")
    template = "a large {} circle in the middle center on a white background"
    results = run_json(*command, template)["results"]
    assert [result["candidate"] for result in results] == ["green", "red"]
    assert results[0]["probability"] > 0.5
    assert run(*command, template).stdout.splitlines()[1].startswith("green")


def test_collections_are_made_shown_and_deleted(run: Any, run_json: Any) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    created = run_json("collection", "create", name, "--index", "flat")
    assert (created["name"], created["item_count"]) == (name, 0)
    assert created["index"]["kind"] == "flat"
    assert run_json("collection", "get", name) == created
    assert created in run_json("collection", "list")["collections"]
    assert name in run("collection", "list").stdout
    assert run_json("collection", "delete", name) == {"deleted": name}


def test_an_error_is_one_line_and_nothing_on_stdout(run: Any) -> None:
    failed = run("collection", "get", "missing", "--json", expect=1)
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: NOT_FOUND: ")
    assert failed.stderr.count("\n") == 1


def test_no_gateway_is_one_line(run: Any) -> None:
    failed = run("collection", "create", "a", "--target", "127.0.0.1:1", expect=1)
    assert failed.stderr.startswith("error: UNAVAILABLE: ")
    assert failed.stderr.count("\n") == 1


def test_models_are_listed(run: Any, run_json: Any) -> None:
    models = {model["name"]: model for model in run_json("models")["models"]}
    clip = models["miniworld-clip"]
    assert {encoder["role"] for encoder in clip["encoders"]} == {"image_encoder", "text_encoder"}
    assert clip["generator"] is None
    table = run("models").stdout
    assert all(name in table for name in models)


def test_generators_are_listed_with_their_models(run: Any, language_gateway: str) -> None:
    table = run("models", "--target", language_gateway).stdout.splitlines()
    assert any(row.split()[0] == FUSED and "generator (opt)" in row for row in table)
    assert any(row.split()[0] == TWO_STEP and " itm " in row for row in table)
    assert any("256 tokens, 1 picture" in row for row in table)


def test_generators_alone_are_listed_with_what_they_do(run: Any, serve: Any) -> None:
    class Lister(model_pb2_grpc.ModelServiceServicer):
        def ListModels(self, request: Any, context: Any) -> model_pb2.ListModelsResponse:
            generators = {
                "llava": model_pb2.Generator(
                    chat=True,
                    family="chat",
                    context_length=4096,
                    max_images=4,
                    state=model_pb2.STATE_READY,
                ),
                "qwen": model_pb2.Generator(
                    chat=True, family="chat", state=model_pb2.STATE_UNAVAILABLE, state_reason="gone"
                ),
                "writer": model_pb2.Generator(proposals=True, family="opt", context_length=256),
            }
            return model_pb2.ListModelsResponse(
                models=[
                    model_pb2.Model(name=name, family="chat", generator=generator)
                    for name, generator in generators.items()
                ]
            )

    _, llava, qwen, writer = run("models", "--target", serve(Lister())).stdout.splitlines()
    assert "chat model (chat)" in llava
    assert "4,096 tokens, 4 pictures" in llava
    assert llava.split()[-1] == "ready"
    assert "not known yet, no picture" in qwen
    assert qwen.split()[-1] == "gone"
    assert "proposer (opt)" in writer


def test_items_are_shown_saved_and_deleted(
    run: Any, run_json: Any, pictures: Path, tmp_path: Path
) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    run("ingest", pictures, "-c", name)
    red = pictures / "circles" / "red.png"
    item = run_json("item", "get", "circles/red.png", "-c", name, "--output", tmp_path / "saved")
    assert (item["uri"], item["has_content"]) == (red.as_uri(), True)
    assert (tmp_path / "saved").read_bytes() == red.read_bytes()
    assert "circles/red.png" in run("item", "get", "circles/red.png", "-c", name).stdout
    listed = run_json("item", "list", "-c", name, "--limit", 3)["items"]
    assert [item["id"] for item in listed] == [
        "circles/" + c for c in ("blue.png", "cyan.png", "green.png")
    ]
    answers = run_json("item", "delete", "circles/red.png", "none", "-c", name, expect=1)["results"]
    assert answers[0]["error"] is None
    assert answers[1]["error"]["code"] == "NOT_FOUND"
    run("collection", "delete", name)


def test_a_data_directory_that_is_none_is_one_line(tmp_path: Path, run: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    failed = run("serve", "--port", 0, "--data", blocked, "--repository", tmp_path, expect=1)
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1


def test_a_setting_out_of_range_is_a_usage_error(run: Any) -> None:
    assert "encoders" in run("serve", "--encoders", "cuda", expect=2).stderr
