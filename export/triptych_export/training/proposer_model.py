"""The miniature proposer: a plain ``OPTForCausalLM`` of about 0.9 M parameters."""

from __future__ import annotations

from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from triptych_export.training.proposer_tokenizer import CONTEXT_LENGTH

WIDTH, HEADS, HIDDEN, LAYERS = 128, 4, 512, 4  # heads of 32 numbers: vLLM's least on a CPU


def build_model(tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
    """Newly initialised, its embeddings tied."""
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT_LENGTH,
        dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config._attn_implementation = "eager"  # on CPU, and at this size, faster than sdpa in bfloat16
    return OPTForCausalLM(config)
