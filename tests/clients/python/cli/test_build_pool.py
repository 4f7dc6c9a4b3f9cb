"""`triptych mils build-pool`: captions of a file, or about subjects, into a seed pool."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych.cli import app
from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.txt"
    long = "red " * 200
    path.write_text(
        f"a red circle\n\nA red  circle\na blue star\na\x00b\n{long}\na green heart\r\n"
    )
    return path


def lines(pool: Path) -> list[str]:
    return (pool / "captions.txt").read_text().splitlines()


def test_a_file_becomes_a_pool(run_json: Any, captions: Path, tmp_path: Path) -> None:
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("\ufeffA BLUE STAR\n", encoding="utf-8")
    pools = tmp_path / "pools"
    report = run_json(
        "mils", "build-pool", "p", "--pools", pools, "--captions", captions, "--exclude", exclude
    )
    assert lines(pools / "p") == ["a red circle", "a green heart"]
    assert report["path"] == str(pools / "p")
    counts = ("duplicates", "excluded", "refused", "truncated", "unparsed")
    assert [report[name] for name in counts] == [1, 1, 1, 1, 0]
    pool = report["pool"]
    assert (pool["count"], pool["model"], pool["source"]) == (2, "miniworld-clip", "captions.txt")
    assert json.loads((pools / "p" / "pool.json").read_text()) == pool


def test_the_report_says_what_was_left_out(run: Any, captions: Path, tmp_path: Path) -> None:
    command = ("mils", "build-pool", "p", "--pools", tmp_path, "--captions", captions)
    first, second = run(*command).stdout.splitlines()
    assert first.startswith("pool p: 3 captions, as vectors of miniworld-clip, ")
    assert second == "left out: duplicates 1, refused 1, truncated 1"
    assert run(*command, "--limit", 1).stdout.startswith("pool p: 1 captions")
    assert lines(tmp_path / "p") == ["a red circle"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["p"], "either --captions or --subjects"),
        (["p", "--captions", "FILE", "--subjects", "FILE"], "either --captions or --subjects"),
        (["../p", "--captions", "FILE"], "is no name"),
        ([".p", "--captions", "FILE"], "is no name"),
        (["p", "--captions", "missing.txt"], "missing.txt"),
        (["p", "--captions", "EMPTY"], "no captions are left"),
        (["p", "--captions", "BINARY"], "not UTF-8"),
        (["p", "--subjects", "EMPTY"], "nothing to write about"),
    ],
)
def test_what_cannot_be_built_is_a_usage_error(
    run: Any, captions: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "binary.txt").write_bytes(b"a\xff\n")
    files = {
        "FILE": captions,
        "EMPTY": tmp_path / "empty.txt",
        "BINARY": tmp_path / "binary.txt",
    }
    given = [files.get(argument, argument) for argument in arguments]
    pools = tmp_path / "pools"
    assert message in run("mils", "build-pool", *given, "--pools", pools, expect=2).stderr
    assert not pools.exists()


def test_a_folder_that_is_no_pool_is_not_overwritten(
    run: Any, captions: Path, tmp_path: Path
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "cat.jpg").write_bytes(b"cat")
    command = ("mils", "build-pool", "p", "--pools", tmp_path, "--captions", captions)
    assert "is no seed pool" in run(*command, expect=1).stderr
    assert os.listdir(tmp_path / "p") == ["cat.jpg"]


class Embedder(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Embeds all texts alike; `wait` waits for the end of the call."""

    def __init__(self, searcher: Any) -> None:
        self.ended = searcher.ended

    def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> Any:
        result = embedding_pb2.EmbedResult(embedding=EMBEDDING)
        return embedding_pb2.EmbedResponse(results=[result], model="m", space="s")

    def StreamEmbed(self, requests: Any, context: Any) -> Any:
        context.add_callback(self.ended.set)
        for request in requests:
            yield embedding_pb2.StreamEmbedResponse(id=request.id, space="s", embedding=EMBEDDING)
            if request.content.text == "wait":
                self.ended.wait(60)


EMBEDDING = embedding_pb2.Embedding(vector=media_pb2.Vector(data=b"\0\0\x80?", dimension=1))


@pytest.fixture
def write(serve: Any, searcher: Any, tmp_path: Path) -> Callable[..., Any]:
    """Build the pool `p` about subjects, by the searcher and the embedder."""

    class Both(type(searcher), Embedder):  # type: ignore[misc]
        pass

    def call(subjects: str, *options: object) -> Any:
        (tmp_path / "subjects.txt").write_text(subjects)
        command = ["mils", "build-pool", "p", "--pools", tmp_path, "--target", target]
        command += ["--subjects", tmp_path / "subjects.txt", *options, "--json"]
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    both = Both()
    searcher.requests = both.requests
    both.ended = searcher.ended
    target = serve(both)
    return call


def test_captions_are_written_about_subjects(write: Any, searcher: Any, tmp_path: Path) -> None:
    report = write("dog\n\n cat \ndog\n", "--count", 2, "--limit", 3)
    assert lines(tmp_path / "p") == ["a dog 0", "a dog 1", "a cat 0"]
    assert (report["pool"]["count"], report["unparsed"]) == (3, 1)
    assert report["pool"]["source"] == "2 subjects of subjects.txt, by writer"
    assert [list(request.subjects) for request in searcher.requests] == [["dog", "cat"]]


def test_many_captions_of_many_subjects_take_several_calls(write: Any, searcher: Any) -> None:
    subjects = "\n".join(f"subject {number}" for number in range(20))
    options = "--count 70 --seed 5 --proposal-model w --temperature 0.5 --guidance short"
    report = write(subjects, *options.split())
    requests = searcher.requests
    assert [(len(r.subjects), r.count, r.seed) for r in requests] == [
        (16, 64, 5),
        (4, 64, 5),
        (16, 6, 6),
        (4, 6, 6),
    ]
    assert {(r.model, r.temperature, r.guidance) for r in requests} == {("w", 0.5, "short")}
    assert report["pool"]["count"] + report["duplicates"] == 20 * 70


def test_an_interrupt_leaves_nothing(serve: Any, searcher: Any, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("one\nwait\nthree\n")
    target = serve(Embedder(searcher))

    def interrupted(pools: Path) -> bool:
        searcher.ended.clear()
        command = [sys.executable, "-m", "triptych", "mils", "build-pool", "p", "--pools", pools]
        command += ["--captions", tmp_path / "captions.txt", "--target", target]
        with subprocess.Popen(
            list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            while not (pools / ".p.part" / "vectors.part").exists():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            try:
                _, complaints = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                return False
        assert searcher.ended.wait(60)
        left = os.listdir(pools)
        return process.returncode == 130 and "Traceback" not in complaints and not left

    # One of some: Python loses an interrupt that comes just while it locks or frees something.
    assert any(interrupted(tmp_path / f"pools{attempt}") for attempt in range(3))
