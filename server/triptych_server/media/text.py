"""Text to `input_ids` and `attention_mask`, cut to the context and padded to a bucket."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from triptych_server.engines.encoders.repository import read_asset
from triptych_server.engines.encoders.spec import TextPreprocessing

# Characters of a text that are looked at, a token of the context: longer words are not words.
_CHARACTERS_PER_TOKEN = 256


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """`input_ids` and `attention_mask` are `[1, L]` int64, L one of the encoder's lengths."""

    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    truncated: bool


class TextTokenizer:
    """The tokenizer of one text encoder. Safe to use from many threads."""

    def __init__(self, definition: bytes, preprocessing: TextPreprocessing) -> None:
        """`definition` is a tokenizer.json; raises `ValueError` if it is not one."""
        try:
            self._tokenizer = Tokenizer.from_buffer(definition)
        except Exception as error:  # the library has no error class of its own
            raise ValueError(f"{preprocessing.tokenizer} is not a tokenizer: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(preprocessing.context_length)
        self._preprocessing = preprocessing

    @classmethod
    def read(cls, assets: Path, encoder: str, preprocessing: TextPreprocessing) -> "TextTokenizer":
        """Read the encoder's tokenizer, by digest; raises `ValueError`."""
        name, sha256 = str(preprocessing.tokenizer), preprocessing.tokenizer_sha256
        return cls(read_asset(assets, encoder, name, sha256), preprocessing)

    def encode(self, text: str) -> TokenizedText:
        """Tokenise; what is beyond the context is cut off before the closing special token."""
        longest = self._preprocessing.context_length * _CHARACTERS_PER_TOKEN
        encoding = self._tokenizer.encode(text[:longest])
        tokens = len(encoding.ids)
        length = next(n for n in self._preprocessing.lengths if n >= tokens)
        input_ids = np.full((1, length), self._preprocessing.pad_id, np.int64)
        input_ids[0, :tokens] = encoding.ids
        attention_mask = np.zeros((1, length), np.int64)
        attention_mask[0, :tokens] = 1
        truncated = bool(encoding.overflowing) or len(text) > longest
        return TokenizedText(input_ids, attention_mask, truncated)
