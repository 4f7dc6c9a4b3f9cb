"""Text to token ids, and token ids to text while they come."""

import re
from collections.abc import Container, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

# How vocabularies write a token that is one byte of a character. Decoders of such ones take the
# bytes that stand together at once: one that fits nowhere spoils those before it, too.
_BYTE = re.compile("<0x[0-9A-F]{2}>")


class GeneratorTokenizer:
    """The tokenizer of one generator. Safe to use from many threads."""

    def __init__(self, definition: bytes) -> None:
        """`definition` is a tokenizer.json; raises `ValueError` if it is not one."""
        try:
            self._tokenizer = Tokenizer.from_buffer(definition)
        except Exception as error:  # the library has no error class of its own
            raise ValueError(f"not a tokenizer: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # as the characters that they are
        special = self._tokenizer.get_added_tokens_decoder()
        self._plain = frozenset(
            token
            for text, token in self._tokenizer.get_vocab().items()
            if not _BYTE.fullmatch(text) and not (token in special and special[token].special)
        )

    @cached_property
    def longest_token(self) -> int:
        """Characters of a text that one token stands for, at most."""
        return max(map(len, self._tokenizer.get_vocab()))

    @property
    def special_tokens(self) -> list[str]:
        """How the special tokens are written, which are plain characters to `encode`."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]

    @classmethod
    def read(cls, path: Path) -> "GeneratorTokenizer":
        """Read a tokenizer.json; raises `ValueError` and `OSError`."""
        return cls(path.read_bytes())

    def encode(self, text: str) -> list[int]:
        """Token ids without special tokens, also where the text looks like one."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens; incomplete characters become U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def stream(self, stop: Sequence[str] = (), *, whole: bool = False) -> "TextStream":
        """A text that comes token by token and ends before the first of `stop`. With `whole` it may
        be given in one piece at its end, which takes less time."""
        return TextStream(self._tokenizer, self._plain, stop, whole=whole)


class TextStream:
    """Gives a text in pieces while its tokens come.

    Pieces are whole characters that no later token changes, and nothing that may turn out to begin
    a stop string; joined, up to that of `finish`, they are the decoding of all tokens, cut before
    the stop string that is complete first (the longest, when several are at once).
    """

    def __init__(
        self, tokenizer: Tokenizer, plain: Container[int], stop: Sequence[str], *, whole: bool
    ) -> None:
        """`plain` are the tokens that are neither special nor single bytes."""
        self._tokenizer = tokenizer
        self._plain = plain
        self._decoding = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._undecoded = 0  # of these, from the end
        self._decoded = 0  # characters that the stream gave
        self._cut = StopStrings(stop)
        self._waits = whole and not stop  # for the last token: none before can end it

    @property
    def stopped(self) -> bool:
        """A stop string ended it."""
        return self._cut.found

    def push(self, token: int) -> str:
        """Take a token; the text that is certain now, often empty. May set `stopped`."""
        self._ids.append(token)
        if self._waits:
            return ""
        self._undecoded += 1
        if token not in self._plain:
            return ""
        new, self._undecoded = self._ids[-self._undecoded :], 0
        piece: str | None = self._decoding.step(self._tokenizer, new)
        if piece is None:
            return ""
        self._decoded += len(piece)
        return self._cut.push(piece)

    def finish(self) -> str:
        """The rest of the text; after it the stream is used no more. May set `stopped`."""
        if self.stopped:
            return ""
        whole: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return self._cut.push(whole[self._decoded :]) + self._cut.finish()


class StopStrings:
    """Ends a text that comes in pieces before the stop string that is complete first."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""  # what may turn out to begin a stop string
        self.found = False

    def push(self, piece: str) -> str:
        """Take a piece; what certainly belongs to the text, often less. Sets `found`."""
        text, self._held = self._held + piece, ""
        place = find_stop(text, self._stop)
        if place is not None:
            self.found = True
            return text[:place]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """What was held back, now that no more pieces come."""
        rest, self._held = self._held, ""
        return rest


def find_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop string begins that is complete first in `text`; None without any."""
    places = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return min(places)[1] if places else None


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` with which `stop` begins, but less than all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
