"""All figures of the miniature world, of what a gateway can do."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from triptych import Client
from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.miniworld.caption import CaptionFigures, evaluate_captions
from triptych_export.evaluation.miniworld.chat import ChatFigures, evaluate_chat
from triptych_export.evaluation.miniworld.clip import ClipFigures, evaluate_clip
from triptych_export.evaluation.miniworld.itm import ItmFigures, evaluate_itm
from triptych_export.evaluation.miniworld.vqa import VqaFigures, evaluate_vqa
from triptych_export.evaluation.progress import Progress, silent


class Measure(StrEnum):
    """What can be measured: embeddings, captions, answers, chats, and matching."""

    CLIP = "clip"
    CAPTION = "caption"
    VQA = "vqa"
    CHAT = "chat"
    ITM = "itm"


@dataclass(frozen=True, slots=True)
class Models:
    """The models to measure: that embeds, that writes, and that matches. Empty: the defaults."""

    embedding: str = ""
    language: str = ""
    matching: str = ""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many scenes, pairs an attribute, questions and chats."""

    scenes: int = 1000
    pairs: int = 1000
    questions: int = 2000
    chats: int = 500


@dataclass(frozen=True, slots=True)
class MiniworldFigures:
    """The figures of each measure; None if it was not taken."""

    clip: ClipFigures | None = None
    caption: CaptionFigures | None = None
    vqa: VqaFigures | None = None
    chat: ChatFigures | None = None
    itm: ItmFigures | None = None

    def to_json(self) -> dict[str, Any]:
        """The measures that were taken."""
        return {name: figures for name, figures in asdict(self).items() if figures is not None}


def possible_measures(client: Client) -> set[Measure]:
    """What the gateway's models can be measured by, whether or not they are ready.

    Raises `EvaluationError` where that is nothing.
    """
    models = list(client.models.list())
    roles = {encoder.role for model in models for encoder in model.encoders}
    possible: set[Measure] = set()
    if {"image_encoder", "text_encoder"} <= roles:
        possible.add(Measure.CLIP)
        if "itm" in roles:
            possible.add(Measure.ITM)
    if any(model.generator is not None for model in models):
        possible |= {Measure.CAPTION, Measure.VQA, Measure.CHAT}
    if not possible:
        raise EvaluationError("the gateway has no model that could be measured")
    return possible


def evaluate_miniworld(
    client: Client,
    measures: Collection[Measure],
    *,
    models: Models | None = None,
    sizes: Sizes | None = None,
    progress: Progress = silent,
) -> MiniworldFigures:
    """Take the measures, one after the other. Raises `TriptychError` when the gateway refuses."""
    models, sizes = models or Models(), sizes or Sizes()
    clip = caption = vqa = chat = itm = None
    if Measure.CLIP in measures:
        clip = evaluate_clip(
            client,
            model=models.embedding,
            scenes=sizes.scenes,
            pairs=sizes.pairs,
            progress=progress,
        )
    if Measure.CAPTION in measures:
        caption = evaluate_captions(
            client, model=models.language, scenes=sizes.scenes, progress=progress
        )
    if Measure.VQA in measures:
        vqa = evaluate_vqa(
            client, model=models.language, questions=sizes.questions, progress=progress
        )
    if Measure.CHAT in measures:
        chat = evaluate_chat(client, model=models.language, chats=sizes.chats, progress=progress)
    if Measure.ITM in measures:
        itm = evaluate_itm(
            client,
            model=models.embedding,
            matcher=models.matching,
            scenes=sizes.scenes,
            progress=progress,
        )
    return MiniworldFigures(clip, caption, vqa, chat, itm)
