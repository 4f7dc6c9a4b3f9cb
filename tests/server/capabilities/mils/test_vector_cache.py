"""What is kept of vectors, and how much memory that takes."""

import tracemalloc

import numpy as np
import pytest

from triptych_server.capabilities.mils.vector_cache import Key, VectorCache


def key(text: str, space: str = "clip:1") -> Key:
    return (space, "text", "1", text)


def vector(value: float = 0.0, dimension: int = 16) -> np.ndarray:
    return np.full(dimension, value, np.float32)


def capacity_of(entries: int) -> int:
    """Bytes that hold so many entries of a one-letter text."""
    cache = VectorCache(2**20)
    cache.put(key("a"), vector())
    return entries * cache.held_bytes


def test_the_least_recently_used_goes_first() -> None:
    cache = VectorCache(capacity_of(3))
    for text in "abc":
        cache.put(key(text), vector())
    assert cache.get(key("a")) is not None
    cache.put(key("d"), vector())
    assert [text for text in "abcd" if cache.get(key(text)) is None] == ["b"]


def test_a_vector_that_is_put_again_counts_once() -> None:
    cache = VectorCache(capacity_of(2))
    for value in range(5):
        cache.put(key("a"), vector(value))
    cache.put(key("b"), vector())
    assert cache.held_bytes == capacity_of(2)
    assert cache.get(key("a"))[0] == 4


def test_what_is_too_large_alone_is_not_kept_and_drives_nothing_out() -> None:
    cache = VectorCache(capacity_of(2))
    cache.put(key("a"), vector())
    cache.put(key("b" * capacity_of(2)), vector())
    assert len(cache) == 1
    assert cache.get(key("a")) is not None


def test_no_room_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put(key("a"), vector())
    assert (len(cache), cache.held_bytes) == (0, 0)


def test_spaces_are_apart() -> None:
    cache = VectorCache(2**20)
    cache.put(key("a", "clip:1"), vector(1))
    assert cache.get(key("a", "clip:2")) is None


@pytest.mark.parametrize("alphabet", ["red star ", "红色的星星", "⭐🔴"])
@pytest.mark.parametrize("dimension", [8, 512])
def test_the_memory_that_is_taken_is_within_the_capacity(alphabet: str, dimension: int) -> None:
    capacity = 2 * 2**20
    tracemalloc.start()
    try:
        cache = VectorCache(capacity)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            cache.put(key(f"{alphabet * 3}{number}"), vector(number, dimension))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert capacity / 2 < cache.held_bytes <= capacity
    assert capacity / 4 < after - before <= capacity
