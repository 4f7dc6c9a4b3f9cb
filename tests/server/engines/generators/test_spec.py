"""generator.json is read whole, or refused by the name of its folder and key."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.engines.generators.spec import (
    Asset,
    FolderSpec,
    ProposalTemplates,
    SpecError,
    Templates,
    asset_path,
    read_spec,
)

CONTENT: dict[str, Any] = {
    "model": "blip2",
    "family": "opt",
    "source": "org/blip2@abc",
    "precision": "fp32",
    "space": "blip_2:0",
    "prefix_tokens": 32,
    "max_prefixes": 1,
    "context_length": 2048,
    "vocabulary": 50304,
    "hidden_size": 2560,
    "layers": 32,
    "key_value_heads": 32,
    "head_size": 80,
    "begin_id": 2,
    "end_ids": [50118],
    "beams": True,
    "scoring": False,
    "templates": {"answer": "Q: {question} A:", "turn": "{question} {answer}", "separator": ""},
    "proposals": {
        "example": "{percent} {text}",
        "separator": "\n",
        "ending": "\n100",
        "subject": "a {subject}",
        "examples": 6,
    },
    "tokenizer": {"file": "tokenizer.json", "sha256": "0" * 64},
    "embedding": {"file": "embedding.npy", "sha256": "f" * 64},
}
SPEC = FolderSpec(
    name="blip2-fp32",
    model="blip2",
    family="opt",
    source="org/blip2@abc",
    precision="fp32",
    space="blip_2:0",
    prefix_tokens=32,
    max_prefixes=1,
    context_length=2048,
    vocabulary=50304,
    hidden_size=2560,
    layers=32,
    key_value_heads=32,
    head_size=80,
    begin_id=2,
    end_ids=(50118,),
    beams=True,
    scoring=False,
    templates=Templates("Q: {question} A:", "{question} {answer}", ""),
    proposals=ProposalTemplates("{percent} {text}", "\n", "\n100", "a {subject}", 6),
    tokenizer=Asset(PurePath("tokenizer.json"), "0" * 64),
    embedding=Asset(PurePath("embedding.npy"), "f" * 64),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators") / "blip2-fp32"
    folder.mkdir()
    return folder


def read(folder: Path, content: object) -> FolderSpec:
    (folder / "generator.json").write_text(json.dumps(content))
    return read_spec(folder)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in CONTENT.items() if name != key}


def test_every_key_is_read(folder: Path) -> None:
    assert read(folder, CONTENT) == SPEC


def test_templates_and_the_begin_of_a_text_may_be_absent(folder: Path) -> None:
    spec = read(folder, {**without("templates"), "begin_id": None, "end_ids": []})
    assert (spec.templates, spec.begin_id, spec.end_ids) == (Templates(), None, ())


def test_without_templates_for_them_it_proposes_nothing(folder: Path) -> None:
    assert read(folder, CONTENT).proposes
    spec = read(folder, without("proposals"))
    assert spec.proposals is None
    assert not spec.proposes


def test_a_generator_may_take_text_alone(folder: Path) -> None:
    spec = read(folder, {**CONTENT, "space": "", "prefix_tokens": 0, "max_prefixes": 0})
    assert (spec.space, spec.prefix_tokens) == ("", 0)


@pytest.mark.parametrize("key", sorted(set(CONTENT) - {"templates", "proposals"}))
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    with pytest.raises(SpecError, match=rf"^blip2-fp32/generator\.json: {key}: is missing$"):
        read(folder, without(key))


WRONG = [
    ("model", ""),
    ("family", 1),
    ("space", None),
    ("prefix_tokens", 0),  # although it has a space
    ("prefix_tokens", 2048),
    ("max_prefixes", 0),
    ("context_length", 1),
    ("context_length", 2**31),
    ("vocabulary", 0),
    ("hidden_size", 2560.0),
    ("layers", True),
    ("layers", "32"),
    ("head_size", -1),
    ("begin_id", 50304),
    ("end_ids", 2),
    ("end_ids", [50304]),
    ("end_ids", [None]),
    ("beams", 1),
    ("scoring", None),
    ("templates", []),
    ("proposals", None),
    ("tokenizer", "tokenizer.json"),
    ("colour", "red"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_named(folder: Path, key: str, value: object) -> None:
    with pytest.raises(SpecError, match=rf"^blip2-fp32/generator\.json: {key}\b"):
        read(folder, {**CONTENT, key: value})


INNER = [
    ("templates", "answer", "Answer:"),
    ("templates", "answer", "{question} {question}"),
    ("templates", "turn", "{question}"),
    ("templates", "separator", 1),
    ("templates", "greeting", "hello"),
    ("proposals", "example", "{percent}"),
    ("proposals", "example", "{text} {text}"),
    ("proposals", "separator", 1),
    ("proposals", "ending", None),
    ("proposals", "subject", "a dog"),
    ("proposals", "examples", -1),
    ("proposals", "examples", 65),
    ("proposals", "places", 1),
    ("tokenizer", "file", "../tokenizer.json"),
    ("tokenizer", "file", "/etc/passwd"),
    ("tokenizer", "file", ".."),
    ("tokenizer", "file", "a\\b"),
    ("tokenizer", "file", "a\0"),
    ("tokenizer", "file", ""),
    ("embedding", "sha256", "0" * 63),
    ("embedding", "sha256", "F" * 64),
    ("embedding", "sha256", f"{'0' * 64}\n"),
]


@pytest.mark.parametrize(("outer", "key", "value"), INNER)
def test_a_wrong_inner_value_is_named(folder: Path, outer: str, key: str, value: object) -> None:
    with pytest.raises(SpecError, match=rf"^blip2-fp32/generator\.json: {outer}\.{key}: "):
        read(folder, {**CONTENT, outer: {**CONTENT[outer], key: value}})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"layers": ' + b"9" * 5_000 + b"}"]
)
def test_what_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "generator.json").write_bytes(content)
    with pytest.raises(SpecError, match=r"^blip2-fp32/generator\.json: cannot be read: "):
        read_spec(folder)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=rf"^{tmp_path.name}/generator\.json: cannot be read"):
        read_spec(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    changes=st.dictionaries(st.sampled_from(list(CONTENT)), JSON),
    dropped=st.sets(st.sampled_from(list(CONTENT))),
)
def test_whatever_it_says_it_is_read_or_refused(
    folder: Path, changes: dict[str, Any], dropped: set[str]
) -> None:
    content = {key: value for key, value in CONTENT.items() if key not in dropped} | changes
    with suppress(SpecError):
        spec = read(folder, content)
        assert 0 <= spec.prefix_tokens < spec.context_length
        assert all(0 <= end < spec.vocabulary for end in spec.end_ids)
        assert min(spec.layers, spec.head_size, spec.hidden_size) > 0


@given(content=JSON)
def test_any_json_is_refused(folder: Path, content: object) -> None:
    with pytest.raises(SpecError, match=r"^blip2-fp32/generator\.json: "):
        read(folder, content)


def test_an_asset_is_found_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    assert asset_path(tmp_path, Asset(PurePath("table"), digest)) == tmp_path / "table"


@pytest.mark.parametrize("content", [b"other numbers", None])
def test_a_changed_or_absent_asset_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "table").write_bytes(content)
    with pytest.raises(SpecError, match=rf"^{tmp_path.name}/table: "):
        asset_path(tmp_path, Asset(PurePath("table"), "0" * 64))
