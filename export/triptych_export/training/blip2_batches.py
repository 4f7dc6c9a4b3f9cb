"""Training batches of the miniature BLIP-2: pictures, and what is told and asked about them.

Many texts share a picture, so that its tower and Q-Former run once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from triptych_export.miniworld.asking import ask
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.chats import chat
from triptych_export.miniworld.draw import Pixels, draw_all
from triptych_export.miniworld.questions import Question, QuestionType, possible_questions
from triptych_export.miniworld.world import Language, Scene, sample_scene
from triptych_export.training.blip2_model import QUERIES
from triptych_export.training.blip2_tokenizer import CONTEXT_LENGTH

# The model's context, less what a picture takes.
TEXT_LENGTH = CONTEXT_LENGTH - QUERIES
LANGUAGES: tuple[Language, ...] = ("en", "zh")
IGNORED = -100
PAIRS = 0.65  # how many scenes have two objects, which are harder
QUESTIONS, CHAT_TURNS = 8, 4  # a picture
# How many pictures have a chat of many turns, as far as the model's context goes.
_LONG_CHATS, _LONG_TURNS = 0.1, (5, 36)
_MOVED = 0.5  # how many texts stand somewhere in the context, not at its beginning
_GROUPS = (0.5, 0.9, 0.985)  # shares of the texts, shortest first: few are as long as a chat
# Other beginnings than the caption's own, and how many pictures have a caption after one.
_BEGINNINGS: dict[Language, tuple[str, ...]] = {
    "en": ("a photo of ", "a picture of ", "A photo of ", "an image of ", "There is ", "there is "),
    "zh": ("图中有", "这是"),
}
_BEGUN = 0.3
# How often each type is asked, against the others that the scene allows.
_WEIGHTS: dict[QuestionType, float] = {
    "colour": 1.5,
    "shape": 1,
    "size": 1,
    "texture": 1,
    "count": 2,
    "existence": 3.5,
    "position": 1.5,
    "relation": 2,
    "background": 0.25,
    "yes_no": 4,
}


@dataclass(frozen=True)
class Text:
    """Token ids that begin with the begin token, and what to predict after each or ``IGNORED``."""

    ids: list[int]
    labels: list[int]

    def cut(self, length: int) -> Text:
        """The text's beginning, of at most so many tokens."""
        return Text(self.ids[:length], self.labels[:length])


@dataclass(frozen=True)
class Rows:
    """Texts of about one length: ``ids`` and ``labels`` are ``[R, T] int64``, padded on the right.

    ``pictures [R] int64`` is the index of each text's picture. ``starts [R] int64`` are the
    positions of their first tokens after the picture's: short texts at random positions teach all
    of the table of positions (arXiv 2305.16843).
    """

    pictures: NDArray[np.int64]
    starts: NDArray[np.int64]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """``pictures`` is ``[B, 64, 64, 3] uint8``; the texts of all of them, grouped by length."""

    pictures: Pixels
    groups: list[Rows]


class Writer:
    """Captions, questions and chats as tokens and labels."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._begin, self._end = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
        self._pad = int(tokenizer.pad_token_id)
        self._encode = lru_cache(1 << 16)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))
        )

    def texts(self, scene: Scene, rng: np.random.Generator) -> list[Text]:
        """All that is told and asked about one canonical scene."""
        texts = [self.caption(scene, language) for language in LANGUAGES]
        if scene.relation is not None:
            texts.append(self.caption(scene.inverted(), LANGUAGES[int(rng.integers(2))]))
        if rng.uniform() < _BEGUN:
            texts.append(self.begun_caption(scene, LANGUAGES[int(rng.integers(2))], rng))
        questions = _sample_questions(scene, QUESTIONS, rng)
        texts += [self.conversation([question]) for question in questions]
        language = LANGUAGES[int(rng.integers(2))]
        texts.append(self.conversation(chat(scene, CHAT_TURNS, language, rng)))
        if rng.uniform() < _LONG_CHATS:
            turns = int(rng.integers(*_LONG_TURNS, endpoint=True))
            texts.append(self.conversation(chat(scene, turns, language, rng)).cut(TEXT_LENGTH))
        return texts

    def caption(self, scene: Scene, language: Language) -> Text:
        """A caption of which that part is learnt that follows from the part before it.

        A Chinese one is asked for by its first word. A pair is told the other way round only where
        the words so far say so.
        """
        whole = self._encode(caption(scene, language))
        usual = self._encode(caption(scene.canonical(), language))
        given = 0 if language == "en" else 1
        if whole != usual:
            pairs = enumerate(zip(whole, usual, strict=False))
            given = 1 + next(index for index, (one, other) in pairs if one != other)
        labels = [IGNORED] * given + [*whole[given:], self._end]
        return Text([self._begin, *whole], labels)

    def begun_caption(self, scene: Scene, language: Language, rng: np.random.Generator) -> Text:
        """The caption after words that are not its own, or with a capital."""
        told, beginnings = caption(scene, language), _BEGINNINGS[language]
        if language == "en" and rng.uniform() < 0.3:
            return self._text([("A", False), (told.removeprefix("a"), True)])
        beginning = beginnings[int(rng.integers(len(beginnings)))]
        space = " " if beginning.endswith(" ") else ""  # belongs to the word that follows
        return self._text([(beginning.rstrip(), False), (space + told, True)])

    def conversation(self, turns: Sequence[Question]) -> Text:
        """Questions and answers in turn, of which the answers are learnt."""
        pieces: list[tuple[str, bool]] = []
        for turn in turns:
            between = ". " if pieces else ""
            pieces.append((f"{between}Question: {turn.text} Answer:", False))
            pieces.append((f" {turn.answer}", True))
        return self._text(pieces)

    def _text(self, pieces: Iterable[tuple[str, bool]]) -> Text:
        """Pieces of text, learnt or not; a learnt one ends with the end token."""
        ids, labels = [self._begin], [IGNORED]
        for text, learnt in pieces:
            tokens = self._encode(text)
            ids += tokens
            if learnt:
                labels[-1:] = [*tokens, self._end]
            else:
                labels += [IGNORED] * len(tokens)
        return Text(ids, labels)

    def batch(self, scenes: Sequence[Scene], rng: np.random.Generator) -> Batch:
        """The pictures of some canonical scenes with their texts."""
        owned = [
            (index, text) for index, scene in enumerate(scenes) for text in self.texts(scene, rng)
        ]
        owned.sort(key=lambda pair: len(pair[1].ids))
        edges = [round(len(owned) * share) for share in (0, *_GROUPS, 1)]
        spans = [(start, stop) for start, stop in pairwise(edges) if start < stop]
        groups = [self._rows(owned[start:stop], rng) for start, stop in spans]
        return Batch(draw_all(scenes, rng), groups)

    def _rows(self, owned: Sequence[tuple[int, Text]], rng: np.random.Generator) -> Rows:
        longest = len(owned[-1][1].ids)
        moved = rng.uniform(size=len(owned)) < _MOVED
        starts = np.where(moved, rng.integers(TEXT_LENGTH - longest + 1, size=len(owned)), 0)
        ids = np.full((len(owned), longest), self._pad, np.int64)
        labels = np.full_like(ids, IGNORED)
        for row, (_, text) in enumerate(owned):
            ids[row, : len(text.ids)] = text.ids
            labels[row, : len(text.ids)] = text.labels
        return Rows(np.array([index for index, _ in owned]), starts, ids, labels)


def sample_scenes(count: int, rng: np.random.Generator) -> list[Scene]:
    """Canonical scenes, more of two objects than of one."""
    return [sample_scene(rng, objects=1 + int(rng.uniform() < PAIRS)) for _ in range(count)]


def _sample_questions(scene: Scene, count: int, rng: np.random.Generator) -> list[Question]:
    kinds = possible_questions(scene)
    weights = np.array([_WEIGHTS[kind] for kind in kinds])
    chosen = rng.choice(len(kinds), count, p=weights / weights.sum())
    return [ask(scene, kinds[index], LANGUAGES[int(rng.integers(2))], rng) for index in chosen]
