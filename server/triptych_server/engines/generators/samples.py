"""Texts that are generated token by token: greedy search and sampling."""

from collections.abc import Sequence

from triptych_server.engines.generators.prompts import EncodedPrompt
from triptych_server.engines.generators.protocol import Delta, Finish, Sampling
from triptych_server.engines.generators.requests import Outbox, Predictions, RowsRequest
from triptych_server.engines.generators.sampling import Chooser, Dice
from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.text import GeneratorTokenizer, TextStream


class SampleRequest(RowsRequest):
    """`n` texts after one prompt."""

    def __init__(
        self,
        prompt: EncodedPrompt,
        sampling: Sampling,
        spec: FolderSpec,
        tokenizer: GeneratorTokenizer,
    ) -> None:
        super().__init__(prompt, sampling.n * (len(prompt) + sampling.max_tokens))
        self.sampling = sampling
        self.end_ids = spec.end_ids
        self._tokenizer = tokenizer
        self._left = sampling.n

    def rows(self) -> Sequence["Sample"]:
        return [
            Sample(
                self,
                index,
                Chooser(self.sampling, index, self.end_ids, self.prompt.ids),
                self._tokenizer.stream(self.sampling.stop, whole=self.sampling.whole),
            )
            for index in range(self.sampling.n)
        ]

    def finished(self) -> bool:
        """Count a text as finished; whether it was the last."""
        self._left -= 1
        return not self._left


class Sample:
    """One text."""

    def __init__(
        self, request: SampleRequest, index: int, chooser: Chooser, text: TextStream
    ) -> None:
        self.request = request
        self.token: int | None = None
        self._index = index
        self._chooser = chooser
        self._text = text
        self._generated: list[int] = []
        self._untold = ""  # of the text
        self._told = 0  # tokens that deltas have reported
        self._log_probability = 0.0  # of those that they have not

    def dice(self) -> Dice | None:
        return self._chooser.dice(len(self._generated))

    def take(self, predictions: Predictions, index: int, outbox: Outbox) -> None:
        token = predictions.drawn[index]
        if token is None:
            logits, likeliest = predictions.logits[index], predictions.likeliest[index]
            token = self._chooser.choose(logits, likeliest, self._generated)
        self._generated.append(token)
        self._log_probability += predictions.log_probability(index, token)
        if len(self._generated) == 1:
            self.request.begin()
        text, finish = self._extend(token)
        self._untold += text
        self.token = None if finish else token
        if finish or (self._untold and not self.request.sampling.whole):
            self._tell(finish, outbox)

    def _extend(self, token: int) -> tuple[str, Finish | None]:
        """What `token` adds to the text, and whether that is its end."""
        text, finish = "", None
        if token in self.request.end_ids:
            finish = Finish.STOP
        else:
            text = self._text.push(token)
            if len(self._generated) == self.request.sampling.max_tokens:
                finish = Finish.LENGTH
        if finish:
            text += self._text.finish()
        return text, Finish.STOP if self._text.stopped else finish

    def _tell(self, finish: Finish | None, outbox: Outbox) -> None:
        last = finish is not None and self.request.finished()
        delta = Delta(
            index=self._index,
            text=self._untold,
            tokens=len(self._generated) - self._told,
            log_probability=self._log_probability,
            finish=finish,
            cost=self.request.cost() if last else None,
        )
        outbox.put(self.request, delta)
        self._untold, self._told, self._log_probability = "", len(self._generated), 0.0
        if last:
            self.request.end()
