"""The files of a proposer's checkpoint, from training and from the generator that ships."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from triptych_export.errors import CheckpointError
from triptych_export.generator_parity import measure_generator
from triptych_export.language import PROPOSALS_FILE
from triptych_export.training.proposer_batches import PROPOSALS
from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_tokenizer import as_checkpoint
from triptych_server.engines.generators.spec import NETWORK_FILE, read_spec

# Modules of the graph, and what the checkpoint calls them.
_MODULES = ((re.compile("^body"), "model"), (re.compile("^head"), "lm_head"))


def save_checkpoint(model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write what ``from_pretrained`` reads, and the forms of its prompts; each file at once."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        forms = json.dumps(PROPOSALS, indent=2)
        (Path(folder) / PROPOSALS_FILE).write_text(f"{forms}\n", encoding="utf-8")
        for file in Path(folder).iterdir():
            file.chmod(0o644)
            os.replace(file, out / file.name)


def checkpoint_of(folder: Path, out: Path) -> None:
    """Write the checkpoint of which a generator's ``folder`` is the export into ``out``, which is
    made: for a vLLM, or to train it further.

    Only a proposer of ``build_model`` is understood. Raises `CheckpointError` for another network,
    and `ParityError` unless the checkpoint computes what the graph does.
    """
    spec = read_spec(folder)
    tokenizer = as_checkpoint((folder / str(spec.tokenizer.file)).read_text(encoding="utf-8"))
    model = build_model(tokenizer)
    weights = _weights(folder / NETWORK_FILE)
    weights["model.decoder.embed_tokens.weight"] = weights["lm_head.weight"]  # they are tied
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{folder.name} is no miniature proposer: {error}") from None
    measure_generator(folder, model.eval())  # type: ignore[no-untyped-call]
    out.mkdir(parents=True)
    save_checkpoint(model, tokenizer, out)


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a graph by the names of the checkpoint.

    Biases, norms and tables have their own names in it. Matrices of products may have none: their
    nodes are named after the module.
    """
    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    named = {name: array for name, array in stored.items() if "." in name}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            named[f"{node.name.rsplit('/', 1)[0]}.weight"] = stored[node.input[1]].T
    return {_renamed(name): torch.from_numpy(array.copy()) for name, array in named.items()}


def _renamed(name: str) -> str:
    for pattern, module in _MODULES:
        name = pattern.sub(module, name)
    return name
