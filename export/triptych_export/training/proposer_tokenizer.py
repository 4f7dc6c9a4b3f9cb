"""The tokenizer of the miniature proposer: byte-level BPE of English words and numbers.

Every text has tokens, byte by byte if need be, and comes back unchanged. The ids of the special
tokens are OPT's: ``</s>`` begins and ends a text.
"""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
)
from triptych_export.training.blip2_tokenizer import BEGIN, END, PAD, UNKNOWN, word_merges

CONTEXT_LENGTH = 256
_TABLES = (SIZES, TEXTURES, COLOURS, SHAPES, BACKGROUNDS, POSITIONS, RELATIONS)
_GRAMMAR = "a an the in on of to background photo picture image there is and with"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; a number to 100 is one token, and so is each word with the space before it."""
    merges = word_merges([*map(str, range(10, 101)), *_words()])
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [BEGIN, PAD, END, UNKNOWN, *letters, *dict.fromkeys(map("".join, merges))]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, vocabulary[END])]
    )
    return as_checkpoint(tokenizer.to_str())


def as_checkpoint(definition: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a tokenizer.json, with the special tokens of this model."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(definition),
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=CONTEXT_LENGTH,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _words() -> list[str]:
    words = {word for table in _TABLES for key in table for word in key.split()} - {"plain"}
    return [f" {word}" for word in sorted(words | set(_GRAMMAR.split()))]
