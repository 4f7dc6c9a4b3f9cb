"""Requests of beam search, each a batch of its own."""

from collections.abc import Sequence

import numpy as np

from triptych_server.engines.generators.beams import BeamSearch, Extension, Hypothesis
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.decoder_batch import DecoderBatch
from triptych_server.engines.generators.prompts import EncodedPrompt
from triptych_server.engines.generators.protocol import Delta, Finish, Sampling
from triptych_server.engines.generators.requests import Outbox, Request
from triptych_server.engines.generators.sampling import Floats
from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.errors import TriptychError


class BeamRequest(Request):
    """The `n` best texts of a beam search, told when all are known."""

    def __init__(
        self,
        prompt: EncodedPrompt,
        sampling: Sampling,
        spec: FolderSpec,
        tokenizer: GeneratorTokenizer,
    ) -> None:
        super().__init__(prompt, sampling.beams * (len(prompt) + sampling.max_tokens))
        self._sampling = sampling
        self._end_ids = spec.end_ids
        self._tokenizer = tokenizer
        self.search = BeamSearch(sampling, spec.end_ids, prompt.ids, self._ends)

    def tell(self, outbox: Outbox) -> None:
        """Tell the best texts, best first."""
        best = self.search.best[: self._sampling.n]
        for index, hypothesis in enumerate(best):
            delta = Delta(
                index=index,
                text=self._text(hypothesis),
                tokens=len(hypothesis.tokens),
                log_probability=hypothesis.log_probability,
                finish=hypothesis.finish,
                cost=self.cost() if index == len(best) - 1 else None,
            )
            outbox.put(self, delta)
        self.end()

    def _ends(self, tokens: Sequence[int]) -> Finish | None:
        if tokens[-1] in self._end_ids:
            return Finish.STOP
        if self._sampling.stop:
            text = self._tokenizer.decode(tokens)
            if any(stop in text for stop in self._sampling.stop):
                return Finish.STOP
        return None

    def _text(self, hypothesis: Hypothesis) -> str:
        stream = self._tokenizer.stream(self._sampling.stop)
        ended = hypothesis.tokens[-1] in self._end_ids
        tokens = hypothesis.tokens[:-1] if ended else hypothesis.tokens
        pieces = []
        for token in tokens:
            pieces.append(stream.push(token))
            if stream.stopped:
                break
        return "".join(pieces) + stream.finish()


class BeamBatch:
    """The hypotheses of one request, which grow by one token a step."""

    def __init__(self, decoder: Decoder, request: BeamRequest, outbox: Outbox) -> None:
        self._batch = DecoderBatch(decoder)
        self._request = request
        self._outbox = outbox
        self._next: Extension | None = None

    def __len__(self) -> int:
        return 0 if self._request.over else len(self._batch)

    def start(self) -> None:
        """Compute the prompt and choose the first tokens."""
        logits = self._batch.add([self._request.prompt.embeddings])
        self._request.begin()
        self._advance(logits)

    def step(self) -> None:
        """Extend the hypotheses by one token."""
        if self._next and len(self):
            self._batch.keep(self._next.parents)
            self._advance(self._batch.step(np.array(self._next.tokens, np.int64)))

    def fail(self, error: TriptychError) -> None:
        """End the search."""
        self._outbox.fail(self._request, error)

    def _advance(self, logits: Floats) -> None:
        self._request.batch_size = max(self._request.batch_size, len(logits))
        self._next = self._request.search.advance(logits)
        if self._next is None:
            self._request.tell(self._outbox)
