"""Texts that are given, to learn how likely they are."""

from collections.abc import Sequence

from triptych_server.engines.generators.prompts import EncodedPrompt
from triptych_server.engines.generators.protocol import Scores
from triptych_server.engines.generators.requests import Outbox, Predictions, RowsRequest


class ScoreRequest(RowsRequest):
    """Continuations of one prompt: the token ids of each, end of text included."""

    def __init__(self, prompt: EncodedPrompt, continuations: Sequence[Sequence[int]]) -> None:
        super().__init__(prompt, sum(len(prompt) + len(each) for each in continuations))
        self._continuations = continuations
        self._log_probabilities = [0.0] * len(continuations)
        self._left = len(continuations)

    def rows(self) -> Sequence["GivenText"]:
        return [GivenText(self, index, ids) for index, ids in enumerate(self._continuations)]

    def finish(self, index: int, log_probability: float, outbox: Outbox) -> None:
        """Note the score of a continuation, and tell all of them when it was the last."""
        self._log_probabilities[index] = log_probability
        self._left -= 1
        if not self._left:
            tokens = [len(ids) for ids in self._continuations]
            outbox.put(self, Scores(self._log_probabilities, tokens, self.cost()))
            self.end()


class GivenText:
    """One continuation: its tokens are what it is given, whatever is likeliest."""

    def __init__(self, request: ScoreRequest, index: int, ids: Sequence[int]) -> None:
        self.request = request
        self.token: int | None = None
        self._index = index
        self._ids = ids
        self._taken = 0
        self._log_probability = 0.0

    def dice(self) -> None:
        return None

    def take(self, predictions: Predictions, index: int, outbox: Outbox) -> None:
        if not self._taken:
            self.request.begin()
        token = self._ids[self._taken]
        self._log_probability += predictions.log_probability(index, token)
        self._taken += 1
        if self._taken < len(self._ids):
            self.token = token
        else:
            self.token = None
            self.request.finish(self._index, self._log_probability, outbox)
