"""A tiny generator that proposes captions: random words of the miniature world, line by line."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from generators import tiny_language_model

from triptych_export.generator import write_generator
from triptych_export.training.proposer_tokenizer import CONTEXT_LENGTH, build_tokenizer

PROPOSER = "random-proposer"
EXAMPLES = 6
PROPOSALS = {
    "example": "{percent} {text}",
    "separator": "\n",
    "ending": "\n100",
    "subject": "a {subject}",
    "examples": EXAMPLES,
}
# What is added to the logarithm of the probability of tokens that are no words, and of a new line:
# a text has about five words.
_NO_WORD, _NEW_LINE = -40.0, 4.2


def write_proposer(directory: Path, name: str = PROPOSER) -> Path:
    """Write `directory/name` in a few seconds; its words depend on what it is shown."""
    tokenizer = build_tokenizer()
    model = tiny_language_model(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _prefer_words(model, tokenizer)
    folder = directory / name
    write_generator(model, tokenizer, folder, model=name, source="random@0")
    spec = folder / "generator.json"
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"proposals": PROPOSALS}))
    return folder


def copy_generators(folder: Path, *generators: Path) -> Path:
    """A directory of these generators."""
    for each in generators:
        shutil.copytree(each, folder / each.name)
    return folder


def _prefer_words(model: Any, tokenizer: Any) -> None:
    """One hidden number becomes a constant, and with it a bias of the output."""
    bias = torch.full((len(tokenizer),), _NO_WORD)
    for token, place in tokenizer.get_vocab().items():
        if token.startswith("Ġ") and token[1:].isalpha() and len(token) > 2:
            bias[place] = 0.0
    bias[tokenizer.get_vocab()["Ċ"]] = _NEW_LINE
    norm = model.model.decoder.final_layer_norm
    norm.weight[0], norm.bias[0] = 0.0, 1.0
    model.lm_head.weight[:, 0] = bias
