"""Read a BLIP-2 checkpoint, with or without its language model."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2PreTrainedModel,
    Blip2QFormerModel,
    Blip2VisionModel,
)

from triptych_export.checkpoint import Checkpoint, check_image_size, check_vocabulary
from triptych_export.errors import CheckpointError
from triptych_export.families import BLIP2, BLIP2_TEXT
from triptych_export.preprocessing import image_steps, text_steps
from triptych_export.source import Source

MODEL_TYPE = "blip-2"
GENERATION, RETRIEVAL = "Blip2ForConditionalGeneration", "Blip2ForImageTextRetrieval"
ENCODER_DECODER = "an encoder-decoder, which needs a generator of another kind"


class _PrefixModel(Blip2PreTrainedModel):  # type: ignore[no-untyped-call]  # no annotations
    """The parts of a `Blip2ForConditionalGeneration` that come before its language model."""

    _keys_to_ignore_on_load_unexpected = [r"^language_model\."]  # noqa: RUF012  # as its base has it

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.qformer_config.hidden_size
        self.vision_model = Blip2VisionModel._from_config(config.vision_config)  # type: ignore[no-untyped-call]
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, width))
        self.qformer = Blip2QFormerModel._from_config(config.qformer_config)  # type: ignore[no-untyped-call]
        self.language_projection = nn.Linear(width, config.text_config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]


def load_blip2(
    checkpoint: str | Path, revision: str | None = None, *, language_model: bool
) -> Checkpoint:
    """Read a local directory, or a hub id at `revision` (a branch, tag or commit).

    The model of the result is a `Blip2ForImageTextRetrieval`, or a `Blip2ForConditionalGeneration`
    whose language model is left on disk unless it is asked for. Raises `CheckpointError`.
    """
    source = Source.find(checkpoint, revision)
    config = source.config()
    kind = _kind(config, checkpoint)
    if language_model and kind == RETRIEVAL:
        raise CheckpointError(f"{checkpoint}: {RETRIEVAL} has no language model to export")
    if language_model and config.is_encoder_decoder:
        raise CheckpointError(
            f"{checkpoint}: its language model is {ENCODER_DECODER}; "
            "the encoders can be exported alone"
        )
    processor = source.processor()
    image = image_steps(processor, source.where)
    check_image_size(config, image, source.where)
    tokenizer = text = None
    if kind == RETRIEVAL:
        tokenizer = source.tokenizer()
        reader: Any = Blip2ForImageTextRetrieval
        qformer = config.qformer_config
        text = text_steps(
            tokenizer,
            qformer.max_position_embeddings,
            BLIP2_TEXT,
            source.where,
            placeholder=config.image_token_index,
        )
        check_vocabulary(text, qformer.vocab_size, source.where)
    elif language_model:
        tokenizer = source.tokenizer()
        reader = Blip2ForConditionalGeneration
    else:
        reader = _PrefixModel
    model = source.model(reader)
    return Checkpoint(source.name, source.label, BLIP2, model, processor, tokenizer, image, text)


def _kind(config: Any, checkpoint: str | Path) -> str:
    if config.model_type != MODEL_TYPE:
        raise CheckpointError(f"{checkpoint}: architecture {config.model_type!r} is not BLIP-2")
    architectures = config.architectures or []
    for kind in (GENERATION, RETRIEVAL):
        if kind in architectures:
            return kind
    raise CheckpointError(
        f"{checkpoint}: config.json names the architecture {', '.join(architectures) or 'nothing'};"
        f" known: {GENERATION}, {RETRIEVAL}"
    )
