import shutil
import uuid
import webbrowser
from pathlib import Path
from typing import Any

import pytest

GREEN = "a large green circle in the middle center on a white background"


def test_hits_are_ordered_and_complete(run: Any, run_json: Any, photos: str) -> None:
    document = run_json("search", "-c", photos, "--text", GREEN, "--limit", 3)
    best, *others = document["hits"]
    assert best["id"] == "circles/green.png"
    assert best["metadata"] == {"colour": "green"}
    assert best["score"] >= others[0]["score"] >= others[1]["score"]
    assert document["timing"]["total"] > 0
    table = run("search", "-c", photos, "--text", GREEN).stdout.splitlines()
    assert len(table) == 1 + 8
    assert "circles/green.png" in table[1]


def test_a_weight_belongs_to_the_term_before_it(run_json: Any, photos: str, pictures: Path) -> None:
    red = pictures / "circles" / "red.png"

    def best(*terms: object) -> str:
        return run_json("search", "-c", photos, *terms, "--limit", 1)["hits"][0]["id"]

    assert best("--image", red, "--weight", 0.01, "--text", GREEN) == "circles/green.png"
    assert best("--text", GREEN, "--weight", 0.01, "--image", red) == "circles/red.png"
    assert best("--text", GREEN, "--image", red, "--weight", 0.01) == "circles/green.png"
    assert best("--item", "circles/red.png") != "circles/red.png"


@pytest.mark.parametrize(
    "terms",
    [
        [],
        ["--text", "a", "--candidates", 5],
        ["--weight", 2],
        ["--text", "a", "--weight", 1, "--weight", 2],
        ["--image", "none.png"],
    ],
)
def test_terms_that_make_no_query_are_usage_errors(run: Any, photos: str, terms: list[Any]) -> None:
    run("search", "-c", photos, *terms, expect=2)


def test_filter_threshold_and_pages(run: Any, run_json: Any, photos: str) -> None:
    query = ("search", "-c", photos, "--text", GREEN)
    filtered = run_json(*query, "--filter", 'colour = "red" OR colour = "blue"')["hits"]
    assert {hit["metadata"]["colour"] for hit in filtered} == {"red", "blue"}
    assert run_json(*query, "--threshold", 1)["hits"] == []
    first = run_json(*query, "--limit", 5)
    rest = run_json(*query, "--limit", 5, "--page-token", first["next_page_token"])
    assert (len(first["hits"]), len(rest["hits"])) == (5, 3)
    assert f"more: --page-token {first['next_page_token']}" in run(*query, "--limit", 5).stderr


def test_a_filter_that_does_not_parse_points_at_the_character(run: Any, photos: str) -> None:
    failed = run("search", "-c", photos, "--text", "a", "--filter", "colour = = 1", expect=1)
    assert failed.stderr.startswith("error: INVALID_ARGUMENT: filter: ")
    assert "character 9" in failed.stderr


def test_the_page_holds_the_pictures_of_hits_and_query(
    run_json: Any, photos: str, tmp_path: Path
) -> None:
    page = tmp_path / "hits.html"
    terms = ("--text", GREEN, "--item", "circles/red.png", "--weight", 0.2)
    document = run_json("search", "-c", photos, *terms, "--limit", 4, "--html", page)
    assert document["page"] == str(page)
    html = page.read_text()
    assert html.count("<figure>") == 4
    assert html.count('<img src="data:image/png;base64,') == 5
    assert GREEN in html


def test_pictures_that_are_not_stored_are_read_where_their_uri_points(
    run: Any, run_json: Any, pictures: Path, tmp_path: Path
) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    shutil.copytree(pictures, tmp_path / "pictures")
    run("ingest", tmp_path / "pictures", "-c", name, "--no-store")
    (tmp_path / "pictures" / "circles" / "red.png").unlink()
    run("search", "-c", name, "--text", GREEN, "--html", tmp_path / "hits.html")
    html = (tmp_path / "hits.html").read_text()
    assert (html.count("<img "), html.count("no picture")) == (7, 1)
    run("collection", "delete", name)


def test_open_shows_the_page_in_the_browser(
    run: Any, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    run("search", "-c", photos, "--text", GREEN, "--open")
    (address,) = opened
    page = Path(address.removeprefix("file://"))
    assert "<figure>" in page.read_text()
    shutil.rmtree(page.parent)


def test_reranked_hits_show_both_scores(
    run: Any, run_json: Any, pictures: Path, language_gateway: str, tmp_path: Path
) -> None:
    name, at = f"test-{uuid.uuid4().hex[:12]}", ("--target", language_gateway)
    run("ingest", pictures, "-c", name, "--model", "miniworld-clip", *at)
    query = ("search", "-c", name, "--text", "red", "--rerank", "itm", *at)
    hits = run_json(*query, "--candidates", 8)["hits"]
    assert hits[0]["id"] == "circles/red.png"
    scores = [hit["itm_score"] for hit in hits]
    assert (len(scores), scores) == (8, sorted(scores, reverse=True))
    table = run(*query, "--candidates", 3, "--html", tmp_path / "hits.html").stdout.splitlines()
    assert (table[0].split()[:3], len(table)) == (["itm", "score", "id"], 1 + 3)
    assert "No hits" not in (tmp_path / "hits.html").read_text()
    missing = run(*query, "--rerank-model", "missing", expect=1)
    assert missing.stderr.startswith("error: NOT_FOUND: rerank.model")
