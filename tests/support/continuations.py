"""Continuations of prompts: by a generator, and by the transformers model that it must equal."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from generators import HIDDEN_SIZE, PREFIX_TOKENS, TinyGenerator

from triptych_export.samples import TEXTS
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import (
    Cost,
    Delta,
    Finish,
    Generator,
    Prompt,
    Sampling,
    SoftPrefix,
)
from triptych_server.media.content import Text


@dataclass(frozen=True, slots=True)
class Continuation:
    """A whole text; `cost` is that of its request."""

    text: str
    tokens: int
    log_probability: float
    finish: Finish
    cost: Cost | None = None


def soft_prefix(seed: int) -> SoftPrefix:
    embeddings = np.random.default_rng(seed).normal(0, 0.3, (PREFIX_TOKENS, HIDDEN_SIZE))
    return SoftPrefix(embeddings.astype(np.float32))


def ragged_prompts(count: int) -> list[Prompt]:
    """Prompts of different lengths, two of three with a soft prefix, some with nothing else."""
    prompts: list[Prompt] = []
    for seed in range(count):
        text = TEXTS[seed % len(TEXTS)][: 7 * (seed % 5)]
        prefix = [soft_prefix(seed)] if seed % 3 or not text else []
        prompts.append([*prefix, *([Text(text)] if text else [])])
    return prompts


async def opened(folder: Path, *, queue: int = 8, cache_bytes: int = 2**26) -> OnnxGenerator:
    """The generator of `folder` in this process, loaded if it can be."""
    generator = OnnxGenerator(folder, threads=1, queue=queue, cache_bytes=cache_bytes)
    await generator.load()
    return generator


async def continue_prompt(
    generator: Generator, prompt: Prompt, sampling: Sampling
) -> list[Continuation]:
    """The texts of one request by their index."""
    return joined([delta async for delta in generator.generate(prompt, sampling)])


def joined(deltas: Iterable[Delta]) -> list[Continuation]:
    """Add up the deltas of one request."""
    texts: dict[int, list[Delta]] = defaultdict(list)
    costs = []
    for delta in deltas:
        texts[delta.index].append(delta)
        costs.append(delta.cost)
    *earlier, cost = costs
    assert cost is not None
    assert not any(earlier)
    assert sorted(texts) == list(range(len(texts)))
    return [_whole(texts[index], cost) for index in sorted(texts)]


def _whole(deltas: Sequence[Delta], cost: Cost) -> Continuation:
    *earlier, last = deltas
    assert last.finish is not None
    assert not any(delta.finish for delta in earlier)
    return Continuation(
        "".join(delta.text for delta in deltas),
        sum(delta.tokens for delta in deltas),
        sum(delta.log_probability for delta in deltas),
        last.finish,
        cost,
    )


class Reference:
    """What transformers makes of the same prompts. `end_ids` end a text."""

    def __init__(self, tiny: TinyGenerator, end_ids: Sequence[int]) -> None:
        self._tiny = tiny
        self._end_ids = list(end_ids)

    def generate(self, prompt: Prompt, sampling: Sampling) -> list[Continuation]:
        """Greedy or beam search."""
        ids, embeddings = self._encode(prompt)
        outputs = self._tiny.model.generate(
            input_ids=ids,
            inputs_embeds=embeddings,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=sampling.max_tokens,
            min_new_tokens=sampling.min_tokens,
            repetition_penalty=sampling.repetition_penalty,
            num_beams=sampling.beams,
            num_return_sequences=sampling.n,
            length_penalty=sampling.length_penalty,
            early_stopping=False,
            eos_token_id=self._end_ids or None,
        )
        return [self._continuation(prompt, self._cut(row[ids.shape[1] :])) for row in outputs]

    def score(self, prompt: Prompt, text: str) -> float:
        """Logarithm of the probability that `text` follows `prompt`, and then the end of text."""
        ids = self._tiny.tokenizer(text, add_special_tokens=False).input_ids
        return sum(self._log_probabilities(prompt, [*ids, self._end_ids[0]]))

    def _continuation(self, prompt: Prompt, ids: list[int]) -> Continuation:
        ended = ids[-1] in self._end_ids
        return Continuation(
            self._tiny.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True),
            len(ids),
            sum(self._log_probabilities(prompt, ids)),
            Finish.STOP if ended else Finish.LENGTH,
        )

    def _cut(self, row: torch.Tensor) -> list[int]:
        ids: list[int] = row.tolist()
        ends = [place for place, token in enumerate(ids) if token in self._end_ids]
        return ids[: ends[0] + 1] if ends else ids

    def _log_probabilities(self, prompt: Prompt, ids: Sequence[int]) -> list[float]:
        table = self._tiny.model.get_input_embeddings()
        embeddings = torch.cat([self._encode(prompt)[1], table(torch.tensor([ids]))], 1)
        logits = self._tiny.model(inputs_embeds=embeddings).logits[0, -len(ids) - 1 : -1]
        predicted = logits.log_softmax(-1)
        return [float(predicted[place, token]) for place, token in enumerate(ids)]

    def _encode(self, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and embeddings. At the prefix, which has no tokens, stands one that the text has too:
        transformers counts all ids among those that were there before."""
        tokenizer, model = self._tiny.tokenizer, self._tiny.model
        text = "".join(part.text for part in prompt if isinstance(part, Text))
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]
        prefixes = [part.embeddings for part in prompt if isinstance(part, SoftPrefix)]
        ids = [tokenizer.bos_token_id] * sum(map(len, prefixes)) + ids
        embeddings = model.get_input_embeddings()(torch.tensor([ids])).clone()
        if prefixes:
            prefix = torch.from_numpy(np.concatenate(prefixes))
            embeddings[0, : len(prefix)] = prefix
        return torch.tensor([ids]), embeddings


def with_ends(tiny: TinyGenerator, folder: Path, end_ids: Sequence[int]) -> TinyGenerator:
    """A copy of the generator in which other tokens end a text."""
    shutil.copytree(tiny.folder, folder)
    path = folder / "generator.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps(description | {"end_ids": list(end_ids)}))
    return replace(tiny, folder=folder)
