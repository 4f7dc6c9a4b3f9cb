import numpy as np
import pytest

from triptych_export.miniworld.captions import caption, parse
from triptych_export.miniworld.world import Object, Scene, sample_scene
from triptych_export.training.proposer_batches import (
    IGNORED,
    PROPOSALS,
    Batch,
    Writer,
    prompt_text,
    split_caption,
)
from triptych_export.training.proposer_scores import PerfectScorer
from triptych_export.training.proposer_searches import run_searches
from triptych_export.training.proposer_tokenizer import CONTEXT_LENGTH, build_tokenizer
from triptych_server.capabilities.prompting import Scored, proposal_prompt
from triptych_server.engines.generators.spec import ProposalTemplates

TOKENIZER = build_tokenizer()
LINES = [(71, "a small red star"), (83, "a dog\u2019s life"), (90, "a large red star")]
STAR = Scene((Object("small", "striped", "red", "star"),), "grey", position="top left")


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(TOKENIZER)


def words(ids: object) -> str:
    return TOKENIZER.decode([label for label in ids if label != IGNORED])  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_prompts_are_those_of_the_gateway(writer: Writer, count: int) -> None:
    shown = [Scored(text, percent / 100) for percent, text in LINES[:count]]
    asked = proposal_prompt(ProposalTemplates(**PROPOSALS), shown)  # type: ignore[arg-type]
    assert prompt_text(LINES[:count]) == asked
    assert writer.prompt(LINES[:count]) == TOKENIZER(asked).input_ids


def test_the_target_is_learnt_and_examples_are_told_apart(writer: Writer) -> None:
    text = writer.list_text(LINES, "a small blue star")
    assert text.ids == TOKENIZER(f"{prompt_text(LINES)} a small blue star").input_ids
    (batch,) = writer.batches([text])
    assert words(batch.learnt[0]) == " a small blue star</s>"
    assert words(batch.shown[0]) == "".join(f" {text}" for _, text in LINES)


def test_labels_are_what_follows(writer: Writer) -> None:
    texts = [writer.list_text(LINES[:count], caption(STAR)) for count in range(4)]
    for batch in writer.batches(texts):
        for labels in (batch.learnt[:, :-1], batch.shown[:, :-1]):
            counted = (labels != IGNORED) & (labels != TOKENIZER.eos_token_id)
            assert (labels[counted] == batch.ids[:, 1:][counted]).all()


def test_of_a_begun_caption_the_rest_is_learnt(writer: Writer) -> None:
    text = writer.begun_text("a small striped", " red star in the top left on a grey background")
    assert TOKENIZER.decode(text.ids) == f"</s>\n100 {caption(STAR)}"
    (batch,) = writer.batches([text])
    assert words(batch.learnt[0]) == " red star in the top left on a grey background</s>"


def test_a_caption_is_split_where_words_end() -> None:
    rng = np.random.default_rng(0)
    begun = [split_caption(sample_scene(rng), rng) for _ in range(400)]
    assert all(beginning.startswith("a ") for beginning, _ in begun)
    assert all(rest.startswith(" ") or not rest for _, rest in begun)
    assert sum(parse(beginning + rest) is not None for beginning, rest in begun) > 250
    assert any(beginning == "a red star" for beginning, _ in begun)


def test_every_context_becomes_a_text_within_the_models_context(writer: Writer) -> None:
    rng = np.random.default_rng(0)
    contexts = run_searches(PerfectScorer(), 20, rng)
    texts = writer.texts(contexts, rng)
    assert len(texts) == len(contexts.truths)
    assert max(len(text.ids) for text in texts) < CONTEXT_LENGTH
    batches: list[Batch] = writer.batches(texts)
    assert sum(len(batch.ids) for batch in batches) == len(texts)
    shown = [TOKENIZER.decode(text.ids[1:]) for text in texts if len(text.shown) == 6]
    for text in shown:
        *lines, target = text.split("\n")
        percents = [int(line.split()[0]) for line in lines]
        assert percents == sorted(percents)
        assert parse(target.removeprefix("100 ")) is not None
