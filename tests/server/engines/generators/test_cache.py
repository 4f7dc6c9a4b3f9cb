"""The cache keeps what rows hold, and takes little more memory than that."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generators import TinyGenerator

from triptych_server.engines.generators.cache import IDLE_BYTES, SCRATCH_TOKENS, Cache
from triptych_server.engines.generators.spec import FolderSpec, read_spec

LAYERS, HEADS, HEAD_SIZE, CONTEXT = 2, 16, 64, 3000
BYTES_PER_TOKEN = 2 * LAYERS * HEADS * HEAD_SIZE * 4
MEGABYTE = 1024 * 1024


@pytest.fixture
def spec(tiny: TinyGenerator) -> FolderSpec:
    return replace(
        read_spec(tiny.folder),
        layers=LAYERS,
        key_value_heads=HEADS,
        head_size=HEAD_SIZE,
        context_length=CONTEXT,
    )


def lengths(*tokens: int) -> np.ndarray:
    return np.array(tokens, np.int32)


def write(cache: Cache, first: int, tokens: list[int]) -> None:
    """Append rows, whose every number is the number of the row."""
    held = np.full(first, 1, np.int32)
    cache.fit(first + len(tokens), max(tokens), held)
    for row, length in enumerate(tokens, first):
        [prompt] = cache.prompts([(1, length)])
        for buffer in prompt:
            buffer[:] = row
        cache.put([row], [buffer[0] for buffer in prompt])


def resident() -> int:
    """Bytes of memory that this process has, but for what its allocator holds that is free."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_prompts_that_are_computed_together_have_memory_of_their_own(spec: FolderSpec) -> None:
    shapes = [(2, 100), (1, 300), (3, 80), (1, SCRATCH_TOKENS + 1), (2, 6)]
    prompts = Cache(spec).prompts(shapes)
    for number, prompt in enumerate(prompts):
        for buffer in prompt:
            buffer[:] = number
    for number, (prompt, (count, length)) in enumerate(zip(prompts, shapes, strict=True)):
        assert len(prompt) == 2 * LAYERS
        for buffer in prompt:
            assert buffer.shape == (count, HEADS, length, HEAD_SIZE)
            assert (buffer == number).all()


def test_growing_and_shrinking_keep_what_rows_hold(spec: FolderSpec) -> None:
    cache = Cache(spec)
    write(cache, 0, [3, 5, 4])
    for rows, tokens in [(3, 6), (9, 6), (9, 700), (40, CONTEXT), (3, 6), (3, 5)]:
        cache.fit(rows, tokens, lengths(3, 5, 4))
        buffers = cache.rows(rows)
        assert len(buffers) == 2 * LAYERS
        for buffer in buffers:
            assert buffer.flags.c_contiguous
            assert buffer.shape[:2] == (rows, HEADS)
            assert tokens <= buffer.shape[2] <= CONTEXT
            for row, length in enumerate([3, 5, 4]):
                assert (buffer[row, :, :length] == row).all()


def test_room_grows_seldom(spec: FolderSpec) -> None:
    cache = Cache(spec)
    write(cache, 0, [1])
    places = set()
    for length in range(2, 1001):
        cache.fit(1, length, lengths(length - 1))
        places.add((cache.rows(1)[0].ctypes.data, cache.rows(1)[0].shape))
    assert len(places) <= 10


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")


@needs_proc
def test_short_rows_beside_a_long_one_take_little_memory(spec: FolderSpec) -> None:
    before = resident()
    cache = Cache(spec)
    write(cache, 0, [CONTEXT, *[20] * 31])
    whole_room = 32 * CONTEXT * BYTES_PER_TOKEN
    held = (CONTEXT + 31 * 20) * BYTES_PER_TOKEN
    scratch = CONTEXT * BYTES_PER_TOKEN
    assert resident() - before < held + scratch + 40 * MEGABYTE < whole_room / 5


@needs_proc
def test_rows_that_were_long_once_give_their_memory_back(spec: FolderSpec) -> None:
    before = resident()
    cache = Cache(spec)
    long = [1, *[500] * 15]
    write(cache, 0, long)
    assert resident() - before > 14 * 500 * BYTES_PER_TOKEN
    cache.fit(16, 500, lengths(499, *[1] * 15))
    most = (2 * 515 + 500) * BYTES_PER_TOKEN + IDLE_BYTES
    assert resident() - before < most + 40 * MEGABYTE


@needs_proc
def test_without_rows_little_memory_is_kept(spec: FolderSpec) -> None:
    cache = Cache(spec)
    before = resident()
    write(cache, 0, [CONTEXT] * 4)
    cache.rest()
    assert resident() - before < 20 * MEGABYTE
    write(cache, 0, [5])
    room = cache.rows(1)[0].ctypes.data
    cache.rest()
    assert cache.rows(1)[0].ctypes.data == room


@needs_proc
def test_clearing_frees_everything(spec: FolderSpec) -> None:
    cache = Cache(spec)
    before = resident()
    write(cache, 0, [CONTEXT] * 4)
    assert resident() - before > 3 * CONTEXT * BYTES_PER_TOKEN
    cache.clear()
    assert resident() - before < 20 * MEGABYTE
    write(cache, 0, [2])
    assert (cache.rows(1)[0][0, :, :2] == 0).all()
