"""The spaces of a checkpoint: which features may be compared, and which patches exchanged."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

import torch

from triptych_export.checkpoint import Checkpoint

_LANGUAGE_MODEL, _VISION = "language_model.", "vision_model."


def embedding_space(checkpoint: Checkpoint) -> str:
    """`family:digest`, a sha256 over the fp32 weights, the tokenizer and the preprocessing.

    Equal for all precisions of a checkpoint and however its files are split. The lengths to which
    masked texts are filled leave features as they are and do not count, nor does a language model,
    which takes what the encoders give.
    """
    preprocessing: dict[str, object] = {"image": asdict(checkpoint.image)}
    if checkpoint.text is not None:
        preprocessing["text"] = {
            "context_length": checkpoint.text.context_length,
            "pad_id": checkpoint.text.pad_id,
            "fixed": checkpoint.text.fixed,
            "tokenizer": json.loads(checkpoint.text.tokenizer_json),
        }
    weights = {
        name: weight
        for name, weight in checkpoint.model.named_parameters()
        if not name.startswith(_LANGUAGE_MODEL)
    }
    return f"{checkpoint.family.name}:{_digest(weights, preprocessing)}"


def patch_space(checkpoint: Checkpoint) -> str:
    """A sha256 over the vision tower and the pictures' preprocessing.

    Where it is equal, one checkpoint's encoders take the patches that another's vision tower gives.
    """
    weights = {
        name: weight
        for name, weight in checkpoint.model.named_parameters()
        if name.startswith(_VISION)
    }
    return _digest(weights, {"image": asdict(checkpoint.image)})


def _digest(weights: Mapping[str, torch.Tensor], preprocessing: Mapping[str, object]) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(f"{name} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().to(torch.float32).contiguous().numpy().data)
    digest.update(json.dumps(preprocessing, sort_keys=True).encode())
    return digest.hexdigest()
