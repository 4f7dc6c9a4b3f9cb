"""The shipped tokenizer gives exactly the ids of the checkpoint's own."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from triptych_export.checkpoint import load_checkpoint
from triptych_export.errors import CheckpointError
from triptych_export.report import ExportReport

CONTEXTS = {"clip-vit-b32": 77, "chinese-clip-vit-b16": 52, "siglip-b16-224": 64}
TEXTS = [
    "",
    " ",
    "\n\t",
    "a",
    "A photo of a CAT.",
    "一只在草地上奔跑的狗,阳光明媚。",
    "🐈‍⬛🇨🇳👩🏽‍🚀 emoji",
    "Ünïcödé ﬁne ① ½ \u0000 \ufeff \u200d",
    "<|endoftext|> [SEP] </s> <|startoftext|>",
    "word " * 500,
    "字" * 500,
    "x" * 5_000,
]


@pytest.fixture(scope="module", params=list(CONTEXTS))
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tokenizers(
    architecture: str,
    checkpoints: Mapping[str, Path],
    exports: Mapping[str, ExportReport],
    repository: Path,
) -> tuple[Tokenizer, Any]:
    """The shipped tokenizer as a gateway sets it up, and transformers'."""
    folder = repository / f"{exports[architecture].model}-text"
    shipped = Tokenizer.from_file(str(folder / "tokenizer.json"))
    shipped.enable_truncation(CONTEXTS[architecture])
    return shipped, AutoTokenizer.from_pretrained(checkpoints[architecture])


def test_it_neither_pads_nor_truncates_by_itself(
    architecture: str, exports: Mapping[str, ExportReport], repository: Path
) -> None:
    path = repository / f"{exports[architecture].model}-text" / "tokenizer.json"
    content = json.loads(path.read_text())
    assert content["padding"] is None
    assert content["truncation"] is None


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal_those_of_transformers(
    tokenizers: tuple[Tokenizer, Any], architecture: str, text: str
) -> None:
    shipped, own = tokenizers
    expected = own(text, truncation=True, max_length=CONTEXTS[architecture])["input_ids"]
    assert shipped.encode(text).ids == expected
    end = own.eos_token_id if own.eos_token_id is not None else own.sep_token_id
    assert expected[-1] == end


@given(st.text(max_size=200))
def test_ids_equal_those_of_transformers_on_any_text(
    tokenizers: tuple[Tokenizer, Any], architecture: str, text: str
) -> None:
    shipped, own = tokenizers
    expected = own(text, truncation=True, max_length=CONTEXTS[architecture])["input_ids"]
    assert shipped.encode(text).ids == expected


def test_a_tokenizer_that_pads_on_the_left_is_refused(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copytree(checkpoints["clip-vit-b32"], tmp_path / "copy"))
    path = checkpoint / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    with pytest.raises(CheckpointError, match="pads or truncates on the left"):
        load_checkpoint(checkpoint)


def test_a_class_that_needs_sentencepiece_gives_way_to_tokenizer_json(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copytree(checkpoints["siglip-b16-224"], tmp_path / "copy"))
    path = checkpoint / "tokenizer_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "SiglipTokenizer"})
    )
    text = load_checkpoint(checkpoint).text
    assert text is not None
    assert (text.context_length, text.fixed) == (64, True)
