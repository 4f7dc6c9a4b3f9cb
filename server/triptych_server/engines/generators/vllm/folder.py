"""What the gateway holds of a model whose prompts it tokenizes, while a vLLM computes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from triptych_server.engines.generators.prompts import PromptTokenizer, Tokenized, check_size
from triptych_server.engines.generators.protocol import Prompt, SoftPrefix
from triptych_server.engines.generators.spec import FolderSpec, asset_path, read_spec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.errors import InvalidArgument

# Larger numbers are no soft prefix. They could overflow within the network, and one NaN in vLLM's
# cache spoils the texts of whoever gets its block next.
LARGEST_NUMBER = 1e4


class Folder:
    """The description and the tokenizer of a generator's folder.

    Raises `SpecError`, `ValueError` and `OSError` when they cannot be read.
    """

    def __init__(self, path: Path, server: Server) -> None:
        self._spec = read_spec(path)
        self.tokenizer = GeneratorTokenizer.read(asset_path(path, self._spec.tokenizer))
        self.prompts = PromptTokenizer(self._spec, self.tokenizer)
        self._server = server

    @property
    def spec(self) -> FolderSpec:
        """With the server's context where that is shorter, once it is known."""
        length = self._server.context_length or self._spec.context_length
        return replace(self._spec, context_length=min(length, self._spec.context_length))

    def tokenize(self, prompt: Prompt) -> list[Tokenized]:
        """The tokens and prefixes of a prompt, fit to be sent. Raises as `PromptTokenizer`, and for
        a text that no context holds: before it is tokenized, which would hold up all others."""
        check_size(self.spec, self.tokenizer, prompt)
        parts = self.prompts.tokenize(prompt)
        for part in parts:
            if isinstance(part, SoftPrefix) and np.abs(part.embeddings).max() > LARGEST_NUMBER:
                message = f"a soft prefix has a number beyond {LARGEST_NUMBER:g}"
                raise InvalidArgument("prompt", message)
        return parts
