import numpy as np
import pytest

from triptych_export.miniworld.captions import caption, parse
from triptych_export.miniworld.questions import Question
from triptych_export.miniworld.world import Language, Object, Scene, same
from triptych_export.training.blip2_batches import (
    IGNORED,
    TEXT_LENGTH,
    Text,
    Writer,
    sample_scenes,
)
from triptych_export.training.blip2_tokenizer import build_tokenizer

END = 2
TOKENIZER = build_tokenizer()
PAIR = Scene(
    (Object("small", "striped", "red", "star"), Object("small", "plain", "blue", "circle")),
    "grey",
    relation="above",
)


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(TOKENIZER)


def learnt(text: Text) -> str:
    """What is to be predicted, with ``|`` for the end."""
    ids = [label for label in text.labels if label != IGNORED]
    return TOKENIZER.decode(ids).replace("</s>", "|")


def read(text: Text) -> str:
    return TOKENIZER.decode(text.ids[1:])


def test_an_english_caption_is_learnt_from_its_first_word(writer: Writer) -> None:
    text = writer.caption(PAIR, "en")
    assert text.ids[0] == END
    assert text.labels == [*text.ids[1:], END]
    assert read(text) == caption(PAIR)


def test_a_chinese_caption_is_learnt_from_its_second_word(writer: Writer) -> None:
    assert learnt(writer.caption(PAIR, "zh")) == caption(PAIR, "zh").removeprefix("一个") + "|"


def test_the_other_order_is_learnt_only_once_the_words_say_so(writer: Writer) -> None:
    text = writer.caption(PAIR.inverted(), "en")
    assert read(text) == ("a small blue circle below a small striped red star on a grey background")
    assert learnt(text) == " circle below a small striped red star on a grey background|"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_caption_is_learnt_after_other_beginnings(writer: Writer, language: Language) -> None:
    rng = np.random.default_rng(0)
    told = {
        (read(text), learnt(text))
        for text in (writer.begun_caption(PAIR, language, rng) for _ in range(60))
    }
    wanted = caption(PAIR, language)
    begun = {whole.removesuffix(part.removesuffix("|")) for whole, part in told}
    expected = {"en": {"A", "a photo of", "There is"}, "zh": {"图中有", "这是"}}
    assert begun >= expected[language]
    assert all(part.endswith(wanted.removeprefix("a") + "|") for _, part in told)


def test_only_answers_are_learnt_and_each_ends(writer: Writer) -> None:
    turns = [
        Question("count", "en", "how many objects are there?", "two"),
        Question("colour", "zh", "星形是什么颜色?", "红色"),
    ]
    text = writer.conversation(turns)
    assert read(text) == (
        "Question: how many objects are there? Answer: two. Question: 星形是什么颜色? Answer: 红色"
    )
    assert learnt(text) == " two| 红色|"


def test_pieces_have_the_tokens_of_the_whole(writer: Writer) -> None:
    rng = np.random.default_rng(0)
    for scene in sample_scenes(20, rng):
        for text in writer.texts(scene, rng):
            assert TOKENIZER(read(text)).input_ids == text.ids


def test_a_batch_holds_all_texts_of_its_pictures(writer: Writer) -> None:
    rng = np.random.default_rng(0)
    scenes = sample_scenes(6, rng)
    batch = writer.batch(scenes, rng)
    assert batch.pictures.shape == (6, 64, 64, 3)
    owners = np.concatenate([rows.pictures for rows in batch.groups])
    assert set(owners.tolist()) == set(range(6))
    lengths = [rows.ids.shape[1] for rows in batch.groups]
    assert lengths == sorted(lengths)
    for rows in batch.groups:
        assert rows.ids.shape == rows.labels.shape == (len(rows.pictures), rows.ids.shape[1])
        for owner, ids in zip(rows.pictures, rows.ids, strict=True):
            told = parse(TOKENIZER.decode(ids, skip_special_tokens=True))
            assert told is None or same(told, scenes[owner])


def test_texts_of_all_lengths_stand_anywhere_in_the_context(writer: Writer) -> None:
    rng = np.random.default_rng(0)
    groups = writer.batch(sample_scenes(64, rng), rng).groups
    ends = np.concatenate([rows.starts + rows.ids.shape[1] for rows in groups])
    assert ends.max() <= TEXT_LENGTH
    assert (ends > 0.9 * TEXT_LENGTH).sum() > 10
    assert np.mean([np.mean(rows.starts == 0) for rows in groups]) == pytest.approx(0.5, abs=0.2)
    assert groups[-1].ids.shape[1] > TEXT_LENGTH / 2
