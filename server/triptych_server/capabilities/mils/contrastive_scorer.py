"""Scores by the cosine of text and target."""

from collections.abc import Sequence

from triptych_server.capabilities.mils.aside import aside
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.capabilities.mils.targets import Directions
from triptych_server.capabilities.mils.text_vectors import TextVectors
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes, Stopwatch


class ContrastiveScorer:
    """A `Scorer` by a model that embeds texts and targets in one space (CLIP, arXiv 2103.00020).

    `directions` are its goal in the space of the model. Vectors of texts come from `vectors`;
    without `remember` every text is encoded anew.
    """

    embeds = True

    def __init__(
        self,
        model: Model,
        directions: Directions,
        vectors: TextVectors,
        *,
        remember: bool = True,
    ) -> None:
        self._model = model
        self._directions = directions
        self._vectors = vectors
        self._remember = remember

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return await self._vectors.encode(self._model, texts, remember=self._remember)

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        cost = ScoringCost()
        if vectors is None:
            embedded = await self.embed(texts)
            assert embedded.vectors is not None, "texts have vectors"
            vectors, cost = embedded.vectors, embedded.cost
        watch = Stopwatch()
        directions = self._directions
        values = await aside(directions.work(vectors), directions.score, vectors)
        scored = ScoringCost(times=StageTimes(inference_ns=watch.ns()))
        return Scores(values.tolist(), cost.then(scored))
