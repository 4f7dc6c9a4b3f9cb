"""The embedding space of a checkpoint: which features may be compared."""

import hashlib
import json
from dataclasses import asdict

import torch

from triptych_export.checkpoint import Checkpoint


def embedding_space(checkpoint: Checkpoint) -> str:
    """`family:digest`, a sha256 over the fp32 weights, the tokenizer and the preprocessing.

    Equal for all precisions of a checkpoint and however its files are split. The lengths to which
    masked texts are filled leave features as they are and do not count.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(checkpoint.model.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().to(torch.float32).contiguous().numpy().data)
    preprocessing: dict[str, object] = {"image": asdict(checkpoint.image)}
    if checkpoint.text is not None:
        preprocessing["text"] = {
            "context_length": checkpoint.text.context_length,
            "pad_id": checkpoint.text.pad_id,
            "fixed": checkpoint.text.fixed,
            "tokenizer": json.loads(checkpoint.text.tokenizer_json),
        }
    digest.update(json.dumps(preprocessing, sort_keys=True).encode())
    return f"{checkpoint.family.name}:{digest.hexdigest()}"
