"""Training batches of the miniature proposer: prompts in the form in which it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from triptych_export.miniworld.captions import caption, describe
from triptych_export.miniworld.world import Scene, sample_scene
from triptych_export.training.proposer_scenes import Rows, rows_of, scene_of
from triptych_export.training.proposer_scores import Floats
from triptych_export.training.proposer_searches import Contexts

EXAMPLES = 6
# The forms of its prompts, as generator.json has them.
PROPOSALS: dict[str, str | int] = {
    "example": "{percent} {text}",
    "separator": "\n",
    "ending": "\n100",
    "subject": "a {subject}",
    "examples": EXAMPLES,
}
IGNORED = -100
# Shares of the texts: captions from nothing, and from their beginning.
_FROM_NOTHING, _BEGUN = 0.04, 0.06
_FULL = 0.65  # how many lists are as long as they may be
_VARIED = 0.4  # how many have the best and any others, not the best ones
_CHOICES = (2, 4, 8)  # of so many times as many as are shown
_INVERTED, _STRANGE = 0.15, 0.02  # lines that tell a pair the other way round, or something else
_NOISE = 0.012  # of scores, at most
_MOVED, _SHIFT, _STRETCH = 0.35, 0.12, (0.6, 1.5)  # lists whose scores have another scale
_UNSAID, _UNKNOWN = 0.25, 0.05  # beginnings with fewer attributes, or of an unknown thing
_GROUPS = (0.3, 0.65)  # shares of the texts, shortest first
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Text:
    """Token ids that begin with the begin token. ``learnt`` are the positions whose next tokens
    are the caption asked for, ``shown`` those whose next tokens are of an example."""

    ids: list[int]
    learnt: range
    shown: list[range]


@dataclass(frozen=True)
class Batch:
    """Texts of about one length. ``ids``, and the labels of what is asked for and of what is shown,
    are ``[R, T] int64``, padded on the right; labels are ``IGNORED`` where they do not count."""

    ids: NDArray[np.int64]
    learnt: NDArray[np.int64]
    shown: NDArray[np.int64]


class Writer:
    """Lists of scored captions, and what should follow them, as tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._begin, self._end = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
        self._pad = int(tokenizer.pad_token_id)
        self._encode = lru_cache(1 << 17)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))
        )

    def prompt(self, lines: Sequence[tuple[int, str]]) -> list[int]:
        """The tokens of ``prompt_text``."""
        ids, _ = self._list(lines)
        return [*ids, *self._encode(str(PROPOSALS["ending"]))]

    def list_text(self, lines: Sequence[tuple[int, str]], target: str) -> Text:
        """Scored captions, worst first, and then the one that should be proposed."""
        ids, shown = self._list(lines)
        ids += self._encode(str(PROPOSALS["ending"]))
        asked = self._encode(f" {target}")
        learnt = range(len(ids) - 1, len(ids) + len(asked))
        return Text([*ids, *asked], learnt, shown)

    def begun_text(self, beginning: str, rest: str) -> Text:
        """What goes on from the beginning of a caption."""
        ids = [self._begin, *self._encode(str(PROPOSALS["ending"])), *self._encode(f" {beginning}")]
        told = self._encode(rest)
        learnt = range(len(ids) - 1, len(ids) + len(told))
        return Text([*ids, *told], learnt, [])

    def texts(self, contexts: Contexts, rng: np.random.Generator) -> list[Text]:
        """A text of each context, and of some a text that shows nothing."""
        texts = []
        for row in range(len(contexts.truths)):
            target = scene_of(contexts.truths[row])
            lot = rng.uniform()
            if lot < _FROM_NOTHING:
                texts.append(self.list_text([], caption(target)))
            elif lot < _FROM_NOTHING + _BEGUN:
                texts.append(self.begun_text(*split_caption(sample_scene(rng), rng)))
            else:
                keys, scores = _choose(contexts.keys[row], contexts.scores[row], rng)
                percents = _percents(scores, rng)
                order = np.argsort(percents, kind="stable")
                told = [_tell(scene, rng) for scene in rows_of(keys)]
                lines = [(int(percents[index]), told[index]) for index in order]
                texts.append(self.list_text(lines, caption(target)))
        return texts

    def batches(self, texts: Sequence[Text]) -> list[Batch]:
        """The texts by their length."""
        texts = sorted(texts, key=lambda text: len(text.ids))
        edges = [round(len(texts) * share) for share in (0, *_GROUPS, 1)]
        return [self._batch(texts[start:stop]) for start, stop in pairwise(edges) if start < stop]

    def _list(self, lines: Sequence[tuple[int, str]]) -> tuple[list[int], list[range]]:
        ids, shown = [self._begin], []
        for number, (percent, text) in enumerate(lines):
            between = str(PROPOSALS["separator"]) if number else ""
            ids += self._encode(f"{between}{percent}")
            words = self._encode(f" {text}")
            shown.append(range(len(ids) - 1, len(ids) + len(words) - 1))
            ids += words
        return ids, shown

    def _batch(self, texts: Sequence[Text]) -> Batch:
        ids = np.full((len(texts), len(texts[-1].ids)), self._pad, np.int64)
        learnt, shown = np.full_like(ids, IGNORED), np.full_like(ids, IGNORED)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            following = [*text.ids[1:], self._end]
            learnt[row, text.learnt.start : text.learnt.stop] = [
                following[place] for place in text.learnt
            ]
            for places in text.shown:
                shown[row, places.start : places.stop] = following[places.start : places.stop]
        return Batch(ids, learnt, shown)


def prompt_text(lines: Sequence[tuple[int, str]]) -> str:
    """Scored captions, worst first, by the templates of ``PROPOSALS``."""
    example, separator, ending = (str(PROPOSALS[key]) for key in ("example", "separator", "ending"))
    told = [
        example.replace("{percent}", str(percent)).replace("{text}", text)
        for percent, text in lines
    ]
    return separator.join(told) + ending


def percents_of(scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Scores in percent, from 0 to 100."""
    percents: NDArray[np.int64] = np.clip(np.round(100 * scores), 0, 100).astype(np.int64)
    return percents


def split_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A caption told from either object, cut before what follows that object or within it. Of some
    the beginning says less than captions do, or names what nobody knows."""
    scene = scene.inverted() if rng.uniform() < 0.5 else scene
    text, thing = caption(scene), scene.objects[0]
    told = describe(thing)
    lot = rng.uniform()
    if lot < _UNSAID:
        words = [thing.size] * (rng.uniform() < 0.2)
        words += [thing.texture] * (thing.texture == "striped" and rng.uniform() < 0.5)
        words += [thing.colour] * (rng.uniform() < 0.6)
        return " ".join(["a", *words, thing.shape]), text.removeprefix(told)
    if lot < _UNSAID + _UNKNOWN:
        return f"a {_word(rng)}", text.removeprefix(told)
    words = told.split()
    beginning = " ".join(words[: int(rng.integers(2, len(words), endpoint=True))])
    return beginning, text.removeprefix(beginning)


def _choose(keys: Rows, scores: Floats, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """Of what was scored, best first, what is shown: the best, or the best and any others."""
    scored = int(np.isfinite(scores).sum())
    count = EXAMPLES if rng.uniform() < _FULL else int(rng.integers(1, EXAMPLES, endpoint=True))
    count = min(count, scored)
    if rng.uniform() < _VARIED and count > 1:
        choice = min(scored, count * int(rng.choice(_CHOICES)))
        others = rng.choice(np.arange(1, choice), count - 1, replace=False)
        chosen = np.concatenate([[0], others])
    else:
        chosen = np.arange(count)
    return keys[chosen], scores[chosen]


def _percents(scores: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Scores with noise, some on another scale: a proposer serves scorers that it never met."""
    noisy = scores + rng.normal(0, rng.uniform(0, _NOISE), len(scores))
    if rng.uniform() < _MOVED:
        best = noisy.max()
        noisy = best + (noisy - best) * rng.uniform(*_STRETCH) + rng.uniform(-_SHIFT, _SHIFT)
    return percents_of(noisy)


def _tell(row: Rows, rng: np.random.Generator) -> str:
    scene = scene_of(row)
    lot = rng.uniform()
    if lot < _STRANGE:
        return " ".join(["a", *(_word(rng) for _ in range(int(rng.integers(1, 4))))])
    return caption(scene.inverted() if lot < _STRANGE + _INVERTED else scene)


def _word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_LETTERS), size=int(rng.integers(2, 7))))
