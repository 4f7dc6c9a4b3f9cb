"""The files of a BLIP-2 checkpoint, with half-precision weights."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path

from transformers import (
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipImageProcessorPil,
    PreTrainedTokenizerFast,
)

from triptych_export.miniworld.draw import SIDE
from triptych_export.training.clip_model import PIXEL_MEAN, PIXEL_STD


def save_checkpoint(
    model: Blip2ForConditionalGeneration | Blip2ForImageTextRetrieval,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
) -> None:
    """Write what ``from_pretrained`` reads, each file at once; the model keeps its precision."""
    pictures = BlipImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    queries = model.config.num_query_tokens
    processor = Blip2Processor(pictures, tokenizer, queries)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(dir=out) as folder:
        half = copy.deepcopy(model).half()  # type: ignore[no-untyped-call]
        half.save_pretrained(folder)
        processor.save_pretrained(folder)
        pictures.save_pretrained(folder)  # where transformers 4 and other engines look for it
        for file in Path(folder).iterdir():
            file.chmod(0o644)
            os.replace(file, out / file.name)
