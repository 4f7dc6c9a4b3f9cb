"""A language model to the folder of a generator: graph, tokenizer, embeddings, generator.json."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from triptych_export.decoder import DecoderShape, write_decoder
from triptych_export.errors import CheckpointError
from triptych_export.generator_parity import LEAST_TEXT, GeneratorParity, measure_generator
from triptych_export.graph import share
from triptych_server.engines.generators.spec import (
    NETWORK_FILE,
    SPEC_FILE,
    ProposalTemplates,
    Templates,
)

TOKENIZER_FILE = "tokenizer.json"
EMBEDDING_FILE = "embedding.npy"


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """One folder of the generators, and how close it is to its checkpoint."""

    folder: str
    family: str
    layers: int
    hidden_size: int
    context_length: int
    file_bytes: int
    seconds: float
    parity: GeneratorParity


def write_generator(
    language_model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    model: str,
    source: str,
    space: str = "",
    prefix_tokens: int = 0,
    max_prefixes: int = 1,
    end_ids: Sequence[int] | None = None,
    templates: Templates | None = None,
    proposals: ProposalTemplates | None = None,
) -> GeneratorReport:
    """Write `language_model`, a transformers causal model in fp32, into `folder`, which is made.

    `model` is the name for requests. `space` is the `triptych.space` of the encoders whose soft
    prefixes of `prefix_tokens` it takes, up to `max_prefixes` a prompt; without `space`, none.
    `end_ids` are those of its generation config unless given. The begin of a text is what
    `tokenizer` puts before it. `proposals` are for a model that was trained to better scored texts.
    Raises `CheckpointError` for a model or a tokenizer that cannot be expressed, and `ParityError`
    when the graph computes anything else than transformers does.
    """
    started = time.monotonic()
    shape = DecoderShape.of(language_model)
    if prefix_tokens + LEAST_TEXT > shape.context_length:
        raise CheckpointError(
            f"its context of {shape.context_length} tokens has no room for a prefix of "
            f"{prefix_tokens} and a text"
        )
    tokens, begin = _tokenizer_json(tokenizer, shape.vocabulary), begin_id(tokenizer)
    folder.mkdir()
    write_decoder(language_model, folder / NETWORK_FILE)
    share(folder)
    (folder / TOKENIZER_FILE).write_text(tokens, encoding="utf-8")
    np.save(folder / EMBEDDING_FILE, _embedding(language_model))
    content = {
        "model": model,
        "family": language_model.config.model_type,
        "source": source,
        "precision": "fp32",
        "space": space,
        "prefix_tokens": prefix_tokens if space else 0,
        "max_prefixes": max_prefixes if space else 0,
        **asdict(shape),
        "begin_id": begin,
        "end_ids": list(_end_ids(language_model) if end_ids is None else end_ids),
        "beams": True,
        "scoring": True,
        "templates": asdict(templates or Templates()),
        **({"proposals": asdict(proposals)} if proposals else {}),
        "tokenizer": _asset(folder / TOKENIZER_FILE),
        "embedding": _asset(folder / EMBEDDING_FILE),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / SPEC_FILE).write_text(f"{text}\n", encoding="utf-8")
    parity = measure_generator(folder, language_model)
    return GeneratorReport(
        folder=folder.name,
        family=language_model.config.model_type,
        layers=shape.layers,
        hidden_size=shape.hidden_size,
        context_length=shape.context_length,
        file_bytes=sum(file.stat().st_size for file in folder.iterdir()),
        seconds=time.monotonic() - started,
        parity=parity,
    )


def begin_id(tokenizer: Any) -> int | None:
    """The token that `tokenizer` puts before a text; raises `CheckpointError` for further ones."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    special = tokenizer("a")["input_ids"]
    before = special[: len(special) - len(plain)]
    if before + plain != special or len(before) > 1:
        raise CheckpointError("the tokenizer adds more than one token before a text, or any behind")
    return int(before[0]) if before else None


def _end_ids(language_model: Any) -> list[int]:
    """The tokens at which the checkpoint's own generation ends."""
    for config in (language_model.generation_config, language_model.config):
        ends = getattr(config, "eos_token_id", None)
        if ends is not None:
            return [int(end) for end in (ends if isinstance(ends, list) else [ends])]
    return []


def _tokenizer_json(tokenizer: Any, vocabulary: int) -> str:
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    if max(backend.get_vocab().values()) >= vocabulary:
        raise CheckpointError(f"the tokenizer has ids beyond the network's {vocabulary}")
    text: str = backend.to_str()
    return text


def _embedding(language_model: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """The table `[V, H]`, in half the bytes when its numbers lose nothing by it."""
    table: np.ndarray[Any, np.dtype[Any]]
    table = language_model.get_input_embeddings().weight.detach().numpy()
    with np.errstate(over="ignore"):
        half = table.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), table) else table


def _asset(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
