"""An exported BLIP-2 in the gateway's own hands: its probabilities are those of transformers."""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Blip2ForImageTextRetrieval, Blip2Processor

from triptych_export.report import ExportReport
from triptych_export.samples import TEXTS, draw_pictures
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.media.content import EncodedImage

PICTURES, TEXT_COUNT = 3, 4


async def test_matches_are_those_of_transformers(
    checkpoints: Mapping[str, Path], repository: Path, retrieval: ExportReport
) -> None:
    pictures, texts = draw_pictures(PICTURES), list(TEXTS)[:TEXT_COUNT]
    pairs = [(picture, text) for picture in range(PICTURES) for text in range(TEXT_COUNT)]
    expected = probabilities_of_transformers(
        checkpoints["blip2-itm-vit-g"],
        [(pictures[picture], texts[text]) for picture, text in pairs],
    )
    engine = OnnxEngine(repository, threads=1, queue_rows=64)
    await engine.load()
    catalog = ModelCatalog(engine, repository)
    await catalog.refresh()
    with ThreadPoolExecutor(1) as executor:
        matcher = Matcher(Encoding(engine, catalog, executor))
        model = catalog.get(retrieval.model, Task.MATCH)
        matches = await matcher.match(model, [as_file(each) for each in pictures], texts, pairs)
    await engine.close()
    assert np.ptp(expected) > 0.1, "pictures and texts are told apart"
    assert list(matches.probabilities) == [
        pytest.approx(probability, abs=1e-4) for probability in expected
    ]


def as_file(picture: Image.Image) -> EncodedImage:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return EncodedImage(file.getvalue())


def probabilities_of_transformers(
    checkpoint: Path, pairs: list[tuple[Image.Image, str]]
) -> list[float]:
    model = Blip2ForImageTextRetrieval.from_pretrained(checkpoint).eval()
    processor = Blip2Processor.from_pretrained(checkpoint)
    found = []
    for picture, text in pairs:
        inputs = processor(images=picture, text=text, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs, use_image_text_matching_head=True).logits_per_image
        found.append(float(torch.softmax(logits, 1)[0, 1]))
    return found
