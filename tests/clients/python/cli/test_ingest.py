import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def name(run: Any, run_json: Any) -> Iterator[str]:
    """A name for a collection, which is deleted if the test made it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    if name in [c["name"] for c in run_json("collection", "list")["collections"]]:
        run("collection", "delete", name)


def test_a_directory_is_written_and_written_again(
    run: Any, run_json: Any, pictures: Path, name: str
) -> None:
    first = run_json("ingest", pictures, "-c", name)
    assert (first["pictures"], first["created"], first["replaced"]) == (8, 8, 0)
    assert first["failures"] == []
    assert first["rate"] > 0
    second = run("ingest", pictures, "-c", name)
    assert second.stdout.startswith("0 created, 8 replaced, 0 failed of 8 pictures")
    assert run_json("collection", "get", name)["item_count"] == 8


def test_what_fails_is_listed_and_the_rest_is_written(
    run: Any, run_json: Any, pictures: Path, tmp_path: Path, name: str
) -> None:
    directory = tmp_path / "pictures"
    shutil.copytree(pictures, directory)
    (directory / "broken.JPG").write_bytes(b"no picture")
    (directory / "notes.txt").write_text("not looked at")
    (directory / "gone.png").symlink_to(directory / "nothing")
    (directory / "huge.png").write_bytes(b"")
    os.truncate(directory / "huge.png", 21 * 1024 * 1024)
    document = run_json("ingest", directory, "-c", name, expect=1)
    assert document["created"] == 8
    reasons = {failure["id"]: failure["error"]["reason"] for failure in document["failures"]}
    assert reasons == {
        "broken.JPG": "IMAGE_UNREADABLE",
        "gone.png": "FILE_UNREADABLE",
        "huge.png": "FILE_UNREADABLE",
    }
    again = run("ingest", directory, "-c", name, expect=1)
    assert again.stderr.count("failed: ") == 3


def test_metadata_of_a_file_is_kept_by_id_or_path(
    run: Any, run_json: Any, pictures: Path, tmp_path: Path, name: str
) -> None:
    rows = [
        {"id": "circles/red.png", "size": 3, "tags": ["warm"]},
        {"path": "circles/blue.png", "size": 4},
        {"path": "circles/absent.png", "size": 5},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    run("ingest", pictures, "-c", name, "--metadata", tmp_path / "rows.jsonl")
    found = run_json("item", "list", "-c", name, "--filter", 'tags:"warm" OR size = 4')["items"]
    assert {item["id"]: item["metadata"] for item in found} == {
        "circles/red.png": {"size": 3, "tags": ["warm"]},
        "circles/blue.png": {"size": 4},
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a", ', "rows.jsonl:2: "),
        ('{"size": 3}', 'rows.jsonl:2: neither "id" nor "path"'),
        ('["a"]', "rows.jsonl:2: metadata is a mapping"),
        ('{"id": "a", "n": NaN}', "rows.jsonl:2.n: nan has no JSON form"),
    ],
)
def test_a_bad_line_of_metadata_is_named_before_anything_is_written(
    run: Any, pictures: Path, tmp_path: Path, name: str, line: str, words: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f'{{"id": "x"}}\n{line}\n')
    failed = run("ingest", pictures, "-c", name, "--metadata", rows, expect=2)
    assert words in " ".join(failed.stderr.replace("│", " ").split())
    run("collection", "get", name, expect=1)


def test_a_missing_collection_is_an_error_when_it_is_not_to_be_made(
    run: Any, pictures: Path, name: str
) -> None:
    failed = run("ingest", pictures, "-c", name, "--no-create", expect=1)
    assert "NOT_FOUND" in failed.stderr


def test_pictures_need_not_be_stored(run: Any, run_json: Any, pictures: Path, name: str) -> None:
    run("ingest", pictures, "-c", name, "--no-store")
    assert not any(i["has_content"] for i in run_json("item", "list", "-c", name)["items"])


def test_an_empty_directory_writes_nothing(run_json: Any, tmp_path: Path, name: str) -> None:
    assert run_json("ingest", tmp_path, "-c", name)["pictures"] == 0
