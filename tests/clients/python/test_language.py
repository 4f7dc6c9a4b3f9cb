"""Captions, answers, chats and reranked searches of the blocking client, against a real gateway."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from language import CONTEXT, FUSED, LONG, PLAIN, TWO_STEP

from triptych import (
    CaptionOrder,
    Captions,
    Client,
    FinishReason,
    Generation,
    Item,
    Rerank,
    Search,
    errors,
)

SAMPLED = Generation(temperature=1, seed=7, max_tokens=6)
SHORT = Generation(max_tokens=8)


def colour(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((8, 8, 3), (red, green, blue), np.uint8)


RED, GREEN, BLUE = colour(255, 0, 0), colour(0, 255, 0), colour(0, 0, 255)


@pytest.fixture(scope="module")
def client(language_gateway: str) -> Iterator[Client]:
    with Client(language_gateway) as client:
        yield client


def all_texts(captions: Captions) -> list[list[str]]:
    return [[caption.text for caption in each.captions] for each in captions]


def test_each_picture_gets_captions_that_begin_with_the_prompt(client: Client) -> None:
    captions = client.caption([RED, GREEN], prompt="a photo of", generation=SHORT)
    assert all(text.startswith("a photo of") for text in captions.texts)
    assert captions.texts[0] != captions.texts[1]
    (best,) = captions[0].captions
    assert (best.tokens, best.finish_reason) == (8, FinishReason.LENGTH)
    assert best.log_probability < 0
    assert (best.clip_score, best.itm_score) == (None, None)
    assert (captions.model, captions.usage.completion_tokens) == (FUSED, 16)
    assert captions.timing.first_token is not None
    assert captions.timing.total > captions.timing.generation > 0


def test_captions_carry_the_scores_that_are_asked_for_in_their_order(client: Client) -> None:
    captions = client.caption(
        RED,
        num_captions=4,
        generation=SAMPLED,
        clip=True,
        itm=TWO_STEP,
        order_by=CaptionOrder.CLIP,
    )
    (result,) = captions
    scores = [caption.clip_score or 0 for caption in result.captions]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= (caption.itm_score or 0) <= 1 for caption in result.captions)
    assert len(result.captions) == 4


def test_equal_seeds_give_equal_captions(client: Client) -> None:
    first, second = (client.caption(RED, num_captions=3, generation=SAMPLED) for _ in range(2))
    other = client.caption(RED, num_captions=3, generation=Generation(temperature=1, seed=8))
    assert all_texts(first) == all_texts(second) != all_texts(other)


def test_one_bad_picture_fails_alone(client: Client) -> None:
    captions = client.caption([RED, b"no picture", GREEN], generation=SHORT)
    assert [each.error is None for each in captions] == [True, False, True]
    assert captions[1].captions == ()
    with pytest.raises(errors.InvalidArgumentError) as caught:
        _ = captions.texts
    assert (caught.value.reason, caught.value.field) == (
        "IMAGE_UNREADABLE",
        "images[1].encoded",
    )


def test_more_pictures_than_a_call_takes_are_described_in_order(client: Client) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (70, 8, 8, 3), np.uint8)
    generation = Generation(max_tokens=3)
    texts = client.caption(pictures, generation=generation).texts
    assert len(texts) == 70
    for position in (0, 63, 64, 69):
        assert client.caption(pictures[position], generation=generation).texts == [texts[position]]


def test_an_answer_is_free_or_one_of_the_choices(client: Client) -> None:
    free = client.answer(RED, "what is it?")
    assert (free.choices, free.finish_reason, free.model) == ((), FinishReason.LENGTH, FUSED)
    assert free.usage.completion_tokens == 16
    chosen = client.answer(RED, "what is it?", choices=["a square", "red", "two"])
    best = max(chosen.choices, key=lambda score: score.probability)
    assert (chosen.text, chosen.finish_reason) == (best.choice, None)
    assert chosen.log_probability == best.log_probability
    assert sum(score.probability for score in chosen.choices) == pytest.approx(1, abs=1e-5)
    assert [score.choice for score in chosen.choices] == ["a square", "red", "two"]


def test_what_a_model_cannot_do_is_a_failed_precondition(client: Client) -> None:
    with pytest.raises(errors.FailedPreconditionError):
        client.answer(RED, "what?", choices=["a", "b"], model=PLAIN)
    with pytest.raises(errors.FailedPreconditionError):
        client.caption(RED, generation=Generation(num_beams=2), model=PLAIN)
    with pytest.raises(errors.NotFoundError):
        client.chat([RED, "what?"], model="missing").read()


def test_what_is_asked_for_wrongly_is_named(client: Client) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        client.caption(RED, generation=Generation(temperature=3))
    assert caught.value.field == "generation.temperature"
    with pytest.raises(errors.InvalidArgumentError) as caught:
        client.chat([RED, "what?"], generation=Generation(num_beams=2)).read()
    assert caught.value.field == "generation.num_beams"


def test_a_chat_says_in_pieces_what_an_answer_says(client: Client) -> None:
    stream = client.chat([RED, "what is it?"], generation=SHORT)
    pieces = list(stream)
    assert len(pieces) > 1
    assert stream.text == "".join(pieces)
    assert stream.text == client.answer(RED, "what is it?", generation=SHORT).text
    assert stream.end is not None
    assert (stream.end.model, stream.end.usage.completion_tokens) == (FUSED, 8)
    assert stream.end.finish_reason is FinishReason.LENGTH


def test_a_conversation_grows_until_its_oldest_messages_are_left_out(client: Client) -> None:
    conversation = client.conversation(RED, generation=SHORT)
    prompts, trimmed = [], 0
    while not trimmed:
        stream = conversation.ask("what else is in it?")
        stream.read()
        assert stream.end is not None
        prompts.append(stream.end.usage.prompt_tokens)
        trimmed = stream.end.trimmed_messages
    assert prompts[:-1] == sorted(set(prompts[:-1]))
    assert max(prompts) < CONTEXT


def test_a_chat_that_is_left_makes_room_for_others(client: Client) -> None:
    endless = Generation(max_tokens=60_000)
    for _ in range(20):
        with client.chat([RED, "what?"], model=LONG, generation=endless) as stream:
            assert next(stream)
        assert stream.end is None
    assert client.chat([RED, "what?"], model=LONG, generation=SHORT).read()


@pytest.fixture(scope="module")
def colours(client: Client) -> Iterator[str]:
    """A collection of colours, stored."""
    name = f"colours-{uuid.uuid4().hex[:12]}"
    client.collections.create(name, model="miniworld-clip")
    pictures = {"red": RED, "green": GREEN, "blue": BLUE, "dark": colour(30, 0, 0)}
    items = [Item(key, content=picture, store=True) for key, picture in pictures.items()]
    assert all(answer.created for answer in client.upsert(name, items))
    yield name
    client.collections.delete(name)


@pytest.mark.parametrize("wanted", ["red", "green", "blue"])
def test_reranked_hits_come_by_how_well_they_match(
    client: Client, colours: str, wanted: str
) -> None:
    hits = client.search(colours, wanted, rerank=Rerank())
    assert (hits[0].item.id, len(hits)) == (wanted, 4)
    scores = [hit.itm_score or 0 for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9
    assert len(client.search(colours, wanted, rerank=Rerank(candidates=2))) == 2
    assert client.search(colours, wanted)[0].itm_score is None


def test_each_reranked_search_of_a_batch_fails_alone(client: Client, colours: str) -> None:
    mixed = Search(colours, RED, rerank=Rerank())
    answers = client.batch_search([Search(colours, "red", rerank=Rerank()), mixed])
    assert isinstance(answers[1], errors.InvalidArgumentError)
    assert not isinstance(answers[0], errors.TriptychError)
    assert answers[0][0].itm_score is not None


def test_models_tell_what_they_write_with(client: Client) -> None:
    generator = client.models.get(FUSED).generator
    assert generator is not None
    assert (generator.family, generator.context_length) == ("opt", CONTEXT)
    assert (generator.max_images, generator.beam_search, generator.choices) == (1, True, True)
    assert client.models.get(FUSED).ready
    assert client.models.get("miniworld-clip").generator is None
