import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.chats import chat
from triptych_export.miniworld.questions import prompt
from triptych_export.miniworld.world import Language, sample_scene
from triptych_export.training.blip2_tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_special_tokens_have_the_ids_of_opt(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 2, 1)
    assert tokenizer.convert_tokens_to_ids("<image>") == len(tokenizer) - 1


def test_a_text_begins_with_the_end_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("a small").input_ids[0] == 2
    assert len(tokenizer("a small").input_ids) == 3


@pytest.mark.parametrize(
    "text",
    [
        "na\u00efve \U0001f600 line\n\tbreak",
        "龙 and 凤\uff01",
        "Question: 图中有什么\uff1f Answer:",
        "",
    ],
)
def test_any_text_comes_back_unchanged(text: str, tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_word_of_the_world_is_one_token(
    language: Language, tokenizer: PreTrainedTokenizerFast
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        scene = sample_scene(rng)
        text = caption(scene, language)
        assert len(tokenizer(text).input_ids) <= 1 + (len(text.split()) if language == "en" else 18)
        turns = chat(scene, 3, language, rng)
        for token in tokenizer.tokenize(prompt(turns[-1].text, turns[:-1])):
            assert "\ufffd" not in tokenizer.convert_tokens_to_string([token])


def test_merges_never_join_two_words(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("red star") == [*tokenizer.tokenize("red"), "\u0120star"]
    apart = [*tokenizer.tokenize("红色"), *tokenizer.tokenize("星形")]
    assert tokenizer.tokenize("红色星形") == apart
    assert len(apart) == 2
