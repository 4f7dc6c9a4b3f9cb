"""The bilingual tokenizer of the miniature CLIP: one token a word, one a Chinese character."""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
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

CONTEXT_LENGTH = 64
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[BOS]", "[EOS]"
_TABLES = (SHAPES, COLOURS, SIZES, TEXTURES, BACKGROUNDS, POSITIONS, RELATIONS)
# What the grammars say beside the attributes, and the words of common prompt templates.
_ENGLISH = "a an the in on of to background photo picture image drawing there is and with"
_CHINESE = "一个的在背景,张幅图片中有和"


def words() -> list[str]:
    """Every word and character that the tokenizer knows, sorted."""
    english = {word for table in _TABLES for key in table for word in key.split()}
    chinese = {character for table in _TABLES for value in table.values() for character in value}
    return sorted(english | chinese | set(_ENGLISH.split()) | set(_CHINESE))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; EOS has the highest id, which is where CLIP's text tower pools."""
    vocabulary = {token: index for index, token in enumerate([PAD, UNKNOWN, BEGIN, *words(), END])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True, strip_accents=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}",
        pair=f"{BEGIN} $A $B {END}",
        special_tokens=[(BEGIN, vocabulary[BEGIN]), (END, vocabulary[END])],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        model_max_length=CONTEXT_LENGTH,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )
