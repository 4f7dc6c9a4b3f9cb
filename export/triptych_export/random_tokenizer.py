"""Tokenizers in the formats of published checkpoints, trained on a few sentences.

Their vocabularies are filled up to the size that the architecture has, so that the embedding table
of a random checkpoint is as large as that of a published one.
"""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import BertTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from triptych_export.samples import TEXTS

_TRAINED_TOKENS = 900


def clip_tokenizer(vocabulary_size: int, context_length: int) -> CLIPTokenizer:
    """CLIP's lower-case byte-level BPE; the last two ids are the start and the end of a text."""
    blank = CLIPTokenizer().backend_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer, bpe.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=_TRAINED_TOKENS,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["".join((left, right)) for left, right in merges]
    vocabulary = _filled(tokens, vocabulary_size - 2)
    vocabulary["<|startoftext|>"] = vocabulary_size - 2
    vocabulary["<|endoftext|>"] = vocabulary_size - 1
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=context_length)


def bert_tokenizer(vocabulary_size: int, context_length: int) -> BertTokenizer:
    """BERT's WordPiece, one token a Chinese character, as Chinese-CLIP uses it."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer(lowercase=True)
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=_TRAINED_TOKENS, special_tokens=specials, show_progress=False
    )
    wordpiece.train_from_iterator(TEXTS, trainer)
    vocabulary = wordpiece.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    return BertTokenizer(vocab=_filled(tokens, vocabulary_size), model_max_length=context_length)


def siglip_tokenizer(vocabulary_size: int, context_length: int) -> PreTrainedTokenizerFast:
    """SigLIP's Unigram pieces: lower case, no punctuation, an end token that also pads."""
    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_TRAINED_TOKENS,
        special_tokens=["</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    unigram.train_from_iterator(TEXTS, trainer)
    pieces = json.loads(unigram.to_str())["model"]["vocab"]
    lowest = min(score for _, score in pieces) - 10
    pieces += [(f"<extra_{index}>", lowest) for index in range(vocabulary_size - len(pieces))]
    unigram.model = models.Unigram([(piece, score) for piece, score in pieces], unk_id=1)
    end = unigram.token_to_id("</s>")
    unigram.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # no annotations
        tokenizer_object=unigram,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        model_max_length=context_length,
        model_input_names=["input_ids"],
    )


def opt_tokenizer(vocabulary_size: int, context_length: int) -> PreTrainedTokenizerFast:
    """OPT's byte-level BPE with `<image>` behind its vocabulary, as BLIP-2 uses it."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=min(_TRAINED_TOKENS, vocabulary_size),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=specials,
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    vocabulary = bpe.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    bpe.model = models.BPE(_filled(tokens, vocabulary_size), merges)
    bpe.decoder = decoders.ByteLevel()
    begin = specials.index("</s>")
    bpe.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A $B", special_tokens=[("</s>", begin)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # no annotations
        tokenizer_object=bpe,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": AddedToken("<image>", normalized=False, special=True)},
        model_max_length=context_length,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


def _filled(tokens: Iterable[str], size: int) -> dict[str, int]:
    """Number the distinct `tokens`, then made-up ones until there are `size`."""
    distinct = list(dict.fromkeys(tokens))
    distinct += [f"[unused{index}]" for index in range(size - len(distinct))]
    return {token: index for index, token in enumerate(distinct)}
