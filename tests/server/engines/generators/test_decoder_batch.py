"""A batch gives each row what transformers gives it alone, whatever its neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from generators import (
    CONTEXT_LENGTH,
    PREFIX_TOKENS,
    VOCABULARY,
    TinyGenerator,
    write_tiny_generator,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.decoder_batch import DecoderBatch
from triptych_server.engines.generators.spec import read_spec

Floats = npt.NDArray[np.float32]

WIDTH = 32
TOLERANCE = 2e-5  # of logits, which go up to about 10
# Rows to add by their lengths, a token for all, or rows to keep, taken from as many as there are.
OPERATIONS = st.lists(
    st.tuples(st.just("add"), st.lists(st.integers(1, 40), max_size=3))
    | st.tuples(st.just("step"), st.just([]))
    | st.tuples(st.just("keep"), st.lists(st.integers(0, 11), max_size=8)),
    max_size=10,
)
LENGTHS = [5, 41, 6, 12, 5, 30, 9, 7]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGenerator:
    """A narrower one than the other tests have, whose logits leave less to rounding."""
    size = {"hidden_size": WIDTH, "word_embed_proj_dim": WIDTH, "num_attention_heads": 4}
    return write_tiny_generator(tmp_path_factory.mktemp("generators"), **size)


@pytest.fixture(scope="module")
def decoder(tiny: TinyGenerator) -> Decoder:
    return Decoder(tiny.folder, read_spec(tiny.folder), threads=1)


def prompts(decoder: Decoder, lengths: Sequence[int], seed: int = 0) -> list[Floats]:
    """Random tokens behind a random soft prefix, where there is room for one."""
    rng = np.random.default_rng(seed)
    prefixes = rng.standard_normal((len(lengths), PREFIX_TOKENS, WIDTH)).astype(np.float32)
    texts = [decoder.embed(rng.integers(0, VOCABULARY, length)) for length in lengths]
    return [
        np.concatenate([prefix, text[PREFIX_TOKENS:]]) if len(text) > PREFIX_TOKENS else text
        for prefix, text in zip(prefixes, texts, strict=True)
    ]


def greedy(model: Any, prompt: Floats, tokens: int) -> list[int]:
    """What transformers' own search continues a prompt with."""
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False)
    own, model.generation_config = model.generation_config, config
    try:
        ids = model.generate(inputs_embeds=torch.from_numpy(prompt)[None])
    finally:
        model.generation_config = own
    return ids[0].tolist()


def next_logits(model: Any, sequence: Floats) -> Floats:
    with torch.inference_mode():
        output = model(inputs_embeds=torch.from_numpy(sequence)[None], use_cache=False)
    return output.logits[0, -1].numpy()


def extend(batch: DecoderBatch, logits: Floats, steps: int) -> npt.NDArray[np.int64]:
    """Greedy tokens `[rows, steps]`, of which `logits` give the first and the batch has none."""
    tokens = []
    for _ in range(steps):
        tokens.append(logits.argmax(axis=1))
        logits = batch.step(tokens[-1])
    return np.stack(tokens, axis=1)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_ragged_prompts_continue_as_in_transformers(
    decoder: Decoder, tiny: TinyGenerator, rows: int
) -> None:
    ragged = prompts(decoder, LENGTHS[:rows])
    batch = DecoderBatch(decoder)
    tokens = extend(batch, batch.add(ragged), 20)
    assert tokens.tolist() == [greedy(tiny.model, prompt, 20) for prompt in ragged]
    assert len({tuple(row) for row in tokens.tolist()}) == rows
    assert batch.lengths.tolist() == [length + 20 for length in LENGTHS[:rows]]


def test_prompts_of_one_token(decoder: Decoder, tiny: TinyGenerator) -> None:
    single = prompts(decoder, [1, 1, 2])
    batch = DecoderBatch(decoder)
    tokens = extend(batch, batch.add(single), 10)
    assert tokens.tolist() == [greedy(tiny.model, prompt, 10) for prompt in single]


def test_rows_join_and_leave_between_steps(decoder: Decoder, tiny: TinyGenerator) -> None:
    first, second, third = prompts(decoder, [9, 40, 17])
    expected = [greedy(tiny.model, prompt, 12) for prompt in (first, second, third)]
    batch = DecoderBatch(decoder)
    logits = batch.add([first])
    logits = batch.step(np.array([expected[0][0]]))
    joined = batch.add([second, third])
    logits = np.concatenate([logits, joined])
    assert logits.argmax(axis=1).tolist() == [expected[0][1], expected[1][0], expected[2][0]]
    batch.step(logits.argmax(axis=1))
    batch.keep([1, 2])
    tokens = extend(batch, batch.step(np.array([expected[1][1], expected[2][1]])), 10)
    assert tokens.tolist() == [expected[1][2:], expected[2][2:]]


def test_forks_go_their_own_ways(decoder: Decoder, tiny: TinyGenerator) -> None:
    first, second = prompts(decoder, [7, 11])
    batch = DecoderBatch(decoder)
    batch.add([first, second])
    batch.keep([1, 0, 1, 1])
    ids = np.array([30, 40, 50, 60])
    tokens = extend(batch, batch.step(ids), 8)
    for row, prompt, token in zip(tokens, [second, first, second, second], ids, strict=True):
        forked = np.concatenate([prompt, decoder.embed([token])])
        assert row.tolist() == greedy(tiny.model, forked, 8)


def test_threads_that_share_the_rows_give_what_one_gives(
    decoder: Decoder, tiny: TinyGenerator
) -> None:
    sharing = Decoder(tiny.folder, decoder.spec, threads=3)
    asked = prompts(decoder, LENGTHS * 9)
    alone, shared = DecoderBatch(decoder), DecoderBatch(sharing)
    np.testing.assert_allclose(shared.add(asked), alone.add(asked), rtol=0, atol=TOLERANCE)
    for token in range(5):
        ids = np.full(len(asked), token)
        np.testing.assert_allclose(shared.step(ids), alone.step(ids), rtol=0, atol=TOLERANCE)


def test_prompts_are_computed_beside_a_step(tiny: TinyGenerator) -> None:
    """They take places of rows that have gone, and one behind the rows."""
    decoder = Decoder(tiny.folder, read_spec(tiny.folder), threads=3)
    first, second, third, fourth, fifth = prompts(decoder, [9, 40, 17, 6, 23])
    batch = DecoderBatch(decoder)
    logits = batch.add([first, second, third])
    batch.free([0, 1])
    step = batch.next(np.array([0, 0, logits[2].argmax()]))
    beginning = batch.begin([fourth, fifth], [[0, 3], [1]])
    *begun, stepped = decoder.compute([*beginning.runs, step])
    joined = batch.take(beginning, begun)
    assert batch.lengths.tolist() == [6, 23, 18, 6]
    ids = np.array([joined[0].argmax(), joined[1].argmax(), stepped[2].argmax(), 7])
    tokens = extend(batch, batch.step(ids), 8)
    assert tokens[0].tolist() == greedy(tiny.model, fourth, 9)[1:]
    assert tokens[1].tolist() == greedy(tiny.model, fifth, 9)[1:]
    assert tokens[2].tolist() == greedy(tiny.model, third, 10)[2:]
    other = np.concatenate([fourth, decoder.embed([7])])
    assert tokens[3].tolist() == greedy(tiny.model, other, 8)


def test_a_row_does_not_depend_on_its_neighbours(decoder: Decoder) -> None:
    rng = np.random.default_rng(1)
    lengths = [10, *rng.integers(1, CONTEXT_LENGTH - 20, 31).tolist()]
    crowd = prompts(decoder, lengths)
    alone, crowded = DecoderBatch(decoder), DecoderBatch(decoder)
    pairs = [(alone.add(crowd[:1])[0], crowded.add(crowd)[0])]
    for _ in range(20):
        ids = rng.integers(0, VOCABULARY, len(crowd))
        pairs.append((alone.step(ids[:1])[0], crowded.step(ids)[0]))
    single, company = np.array(pairs).swapaxes(0, 1)
    np.testing.assert_allclose(company, single, rtol=0, atol=TOLERANCE)


@settings(max_examples=20, deadline=None)
@given(operations=OPERATIONS)
def test_any_sequence_of_operations_equals_transformers(
    decoder: Decoder, tiny: TinyGenerator, operations: list[tuple[str, list[int]]]
) -> None:
    batch = DecoderBatch(decoder)
    sequences: list[Floats] = []  # what each row has been given so far
    logits = np.empty((0, VOCABULARY), np.float32)
    rng = np.random.default_rng(0)
    for operation, numbers in operations:
        if operation == "add":
            new = prompts(decoder, numbers, seed=len(sequences))
            logits = np.concatenate([logits, batch.add(new)])
            sequences += new
        elif operation == "step":
            ids = rng.integers(0, VOCABULARY, len(sequences))
            logits = batch.step(ids)
            last = decoder.embed(ids)[:, None]
            sequences = [np.concatenate(both) for both in zip(sequences, last, strict=True)]
        else:
            kept = [number % len(sequences) for number in numbers] if sequences else []
            batch.keep(kept)
            logits, sequences = logits[kept], [sequences[row] for row in kept]
        assert batch.lengths.tolist() == [len(sequence) for sequence in sequences]
        for row, sequence in zip(logits, sequences, strict=True):
            expected = next_logits(tiny.model, sequence)
            np.testing.assert_allclose(row, expected, rtol=0, atol=TOLERANCE)


def test_rows_that_come_take_free_places(decoder: Decoder, tiny: TinyGenerator) -> None:
    first, second, third, fourth, fifth = prompts(decoder, [9, 40, 17, 6, 23])
    batch = DecoderBatch(decoder)
    logits = batch.add([first, second, third])
    batch.step(logits.argmax(axis=1))
    batch.free([1])
    assert batch.lengths.tolist() == [10, 0, 18]
    logits = batch.step(np.array([greedy(tiny.model, first, 2)[1], 0, 5]))
    assert batch.lengths.tolist() == [11, 0, 19]
    joined = batch.add([fourth, fifth], [[1, 4], [3]])
    assert batch.lengths.tolist() == [11, 6, 19, 23, 6]
    ids = np.array([logits[0].argmax(), joined[0].argmax(), 5, joined[1].argmax(), 7])
    tokens = extend(batch, batch.step(ids), 8)
    assert tokens[0].tolist() == greedy(tiny.model, first, 11)[3:]
    assert tokens[1].tolist() == greedy(tiny.model, fourth, 9)[1:]
    assert tokens[3].tolist() == greedy(tiny.model, fifth, 9)[1:]
    other = np.concatenate([fourth, decoder.embed([7])])
    assert tokens[4].tolist() == greedy(tiny.model, other, 8)


def test_free_rows_at_the_end_are_none(decoder: Decoder, tiny: TinyGenerator) -> None:
    batch = DecoderBatch(decoder)
    batch.add(prompts(decoder, [4, 5, 6]))
    batch.free([1])
    with pytest.raises(ValueError, match="not free"):
        batch.add(prompts(decoder, [4]), [[2]])
    batch.free([2])
    assert batch.lengths.tolist() == [4]
    batch.free([0])
    assert len(batch) == 0
    [prompt] = prompts(decoder, [6])
    logits = batch.add([prompt], [[2]])
    assert batch.lengths.tolist() == [0, 0, 6]
    tokens = extend(batch, np.repeat(logits, 3, axis=0), 5)
    assert tokens[2].tolist() == greedy(tiny.model, prompt, 5)


def test_a_row_grows_up_to_the_context_length(decoder: Decoder, tiny: TinyGenerator) -> None:
    batch = DecoderBatch(decoder)
    prompt, short = prompts(decoder, [CONTEXT_LENGTH - 3, 5])
    tokens = extend(batch, batch.add([prompt, short]), 3)
    assert tokens[0].tolist() == greedy(tiny.model, prompt, 3)
    assert batch.lengths[0] == CONTEXT_LENGTH
    with pytest.raises(ValueError, match="no room"):
        batch.step(np.array([1, 1]))
    batch.keep([1])
    assert batch.step(np.array([1])).shape == (1, VOCABULARY)


def test_an_emptied_batch_is_as_good_as_new(decoder: Decoder, tiny: TinyGenerator) -> None:
    batch = DecoderBatch(decoder)
    assert batch.add([]).shape == batch.step(np.empty(0, np.int64)).shape == (0, VOCABULARY)
    batch.keep([])
    batch.add(prompts(decoder, [8, 9]))
    batch.keep([])
    assert len(batch) == 0
    [prompt] = prompts(decoder, [6])
    tokens = extend(batch, batch.add([prompt]), 5)
    assert tokens[0].tolist() == greedy(tiny.model, prompt, 5)


@pytest.mark.parametrize(
    "prompt",
    [
        np.zeros((0, WIDTH), np.float32),
        np.zeros((CONTEXT_LENGTH + 1, WIDTH), np.float32),
        np.zeros((3, WIDTH + 1), np.float32),
        np.zeros((3, WIDTH), np.float64),
        np.zeros((1, 3, WIDTH), np.float32),
    ],
    ids=["empty", "too long", "other width", "other type", "a batch"],
)
def test_a_prompt_of_another_shape_is_refused(decoder: Decoder, prompt: Any) -> None:
    batch = DecoderBatch(decoder)
    good = prompts(decoder, [4])
    batch.add(good)
    with pytest.raises(ValueError, match="a prompt"):
        batch.add([*good, prompt])
    assert batch.lengths.tolist() == [4]


@pytest.mark.parametrize("ids", [[], [1, 2], [[1]], [-1], [VOCABULARY]])
def test_tokens_that_do_not_fit_the_rows_are_refused(decoder: Decoder, ids: list[int]) -> None:
    batch = DecoderBatch(decoder)
    batch.add(prompts(decoder, [4]))
    with pytest.raises(ValueError, match="token ids"):
        batch.step(np.array(ids, np.int64))
    assert batch.lengths.tolist() == [4]


@pytest.mark.parametrize("rows", [[1], [0, -1]])
def test_rows_that_are_not_there_cannot_be_kept(decoder: Decoder, rows: list[int]) -> None:
    batch = DecoderBatch(decoder)
    batch.add(prompts(decoder, [4]))
    with pytest.raises(ValueError, match="there are 1 rows"):
        batch.keep(rows)
