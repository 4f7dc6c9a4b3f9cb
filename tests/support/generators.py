"""Tiny generators with random weights, and the transformers models that they were made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from triptych_export.generator import write_generator
from triptych_export.random_tokenizer import opt_tokenizer

SPACE = "blip_2:tiny"
# Heads of 32 numbers, the smallest that vLLM computes on a CPU.
PREFIX_TOKENS, HIDDEN_SIZE, CONTEXT_LENGTH, VOCABULARY = 4, 64, 128, 400
BEGIN_ID, PAD_ID = 2, 1
_GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
_KINDS: Mapping[str, tuple[Any, Any, Mapping[str, object]]] = {
    "opt": (OPTConfig, OPTForCausalLM, {"ffn_dim": 64, "word_embed_proj_dim": HIDDEN_SIZE}),
    "llama": (LlamaConfig, LlamaForCausalLM, _GROUPED),
    "mistral": (MistralConfig, MistralForCausalLM, {**_GROUPED, "sliding_window": None}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, _GROUPED),
}


@dataclass(frozen=True, slots=True)
class TinyGenerator:
    """A generator's folder, and the model and tokenizer of transformers that it must equal."""

    folder: Path
    model: Any
    tokenizer: Any


def write_tiny_generator(
    directory: Path,
    *,
    name: str = "tiny",
    architecture: str = "opt",
    space: str = SPACE,
    seed: int = 0,
    **config: object,
) -> TinyGenerator:
    """Write `directory/name` in a few seconds: two layers, two heads, and `config` over these.

    Its greedy texts vary with the prompt and hardly ever end by themselves.
    """
    tokenizer = tiny_tokenizer()
    model = tiny_language_model(architecture, seed=seed, **config)
    write_generator(
        model,
        tokenizer,
        directory / name,
        model=name,
        source=f"random@{seed}",
        space=space,
        prefix_tokens=PREFIX_TOKENS,
    )
    return TinyGenerator(directory / name, model, tokenizer)


def tiny_language_model(architecture: str = "opt", *, seed: int = 0, **config: object) -> Any:
    """A causal model of transformers with random weights of a size that makes texts vary."""
    configuration, build, own = _KINDS[architecture]
    common = {
        "hidden_size": HIDDEN_SIZE,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT_LENGTH,
        "vocab_size": VOCABULARY,
        "bos_token_id": BEGIN_ID,
        "eos_token_id": BEGIN_ID,
        "pad_token_id": PAD_ID,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = build(configuration(**{**common, **own, **config}))
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval().requires_grad_(False)


def tiny_tokenizer() -> Any:
    """OPT's, with few tokens; `<image>` is the last of them."""
    return opt_tokenizer(VOCABULARY - 1, CONTEXT_LENGTH)
