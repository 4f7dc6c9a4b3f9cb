"""The tokenizer of the miniature BLIP-2: OPT's byte-level BPE with merges for the world's words.

Every text has tokens, byte by byte if need be, and comes back unchanged. The ids of the special
tokens are OPT's: ``</s>`` begins and ends a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
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

CONTEXT_LENGTH = 512
BEGIN, PAD, END, UNKNOWN, IMAGE = "<s>", "<pad>", "</s>", "<unk>", "<image>"
_TABLES = (SIZES, TEXTURES, COLOURS, SHAPES, BACKGROUNDS, POSITIONS, RELATIONS)
# What captions, questions and answers say beside the attributes.
_ENGLISH = """a an the in on of to at is are it there what where which how many relative other do
you see this object objects picture image photo describe background colour color shape size texture
circles squares triangles stars crosses hearts or and yes no zero one two nothing with
A There Is What Where How Describe Answer Question"""
_CHINESE = """一个 两个 零个 的 在 是 有 吗 背景 什么 颜色 形状 纹理 多大 还是 纯色 几个 物体
哪里 哪边 另一个物体 它 图中 图里 描述 这张 这 图片 没有 东西 不是 你 看到 了"""
_CHINESE_MARKS = "\uff1f\uff0c\u3002"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; each word of the world, with the space before it, is one token."""
    merges = word_merges(_words())
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [BEGIN, PAD, END, UNKNOWN, *letters, *dict.fromkeys(map("".join, merges)), IMAGE]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, vocabulary[END])]
    )
    tokenizer.add_special_tokens([AddedToken(IMAGE, normalized=False, special=True)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
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
    """Words in the order in which their merges are made: characters before words of Chinese."""
    english = {word for table in _TABLES for key in table for word in key.split()}
    spaced = [f" {word}" for word in sorted(english | set(_ENGLISH.split()))]
    chinese = {value for table in _TABLES for value in table.values() if value}
    chinese |= set(_CHINESE.split())
    characters = {character for word in chinese for character in word}
    return ["Question", *spaced, *sorted(characters), *sorted(chinese), *_CHINESE_MARKS]


def word_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Merges that make each word one token, adding on the left first, and none across words."""
    bytelevel = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        while len(pieces := _split(bytelevel.pre_tokenize_str(word)[0][0], ranks)) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
    return list(ranks)


def _split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding: the merge of the lowest rank first."""
    pieces = list(word)
    while True:
        pairs = enumerate(pairwise(pieces))
        known = [(ranks[pair], index) for index, pair in pairs if pair in ranks]
        if not known:
            return pieces
        _, index = min(known)
        pieces[index : index + 2] = [pieces[index] + pieces[index + 1]]
