import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.world import sample_scene
from triptych_export.training.proposer_tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_special_tokens_have_the_ids_of_opt(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 2, 1)
    assert tokenizer("a").input_ids[0] == 2


@pytest.mark.parametrize(
    "text", ["83 a dog\n100", "na\u00efve \U0001f600  line\n\tbreak", "", "红色"]
)
def test_any_text_comes_back_unchanged(text: str, tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_each_word_of_a_caption_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        text = caption(sample_scene(rng))
        assert len(tokenizer.tokenize(text)) == len(text.split())


def test_each_score_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    for percent in range(101):
        told = tokenizer.tokenize(f"{percent} a star\n")
        assert told == [str(percent), "\u0120a", "\u0120star", "\u010a"]
