"""What a gateway does with exported encoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from triptych_server.engines.encoders.spec import SIGNATURES, EncoderSpec, spec_from_config
from triptych_server.media.content import RawImage
from triptych_server.media.image import to_pixels
from triptych_server.media.text import TextTokenizer


def read_config(folder: Path) -> Any:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((folder / "config.pbtxt").read_text(), config)
    return config


def read_spec(folder: Path) -> EncoderSpec:
    return spec_from_config(read_config(folder), "1")


def run(folder: Path, inputs: Mapping[str, Any]) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
    return session.run([SIGNATURES[read_spec(folder).role].output], dict(inputs))[0]


def gateway_pixels(pictures: list[Image.Image], spec: EncoderSpec) -> np.ndarray:
    assert spec.image is not None
    raw = [RawImage(picture.height, picture.width, picture.tobytes()) for picture in pictures]
    return np.stack([to_pixels(picture, spec.image) for picture in raw])


def gateway_tokenizer(repository: Path, spec: EncoderSpec) -> TextTokenizer:
    assert spec.text is not None
    return TextTokenizer.read(repository, spec.name, spec.text)


def gateway_features(repository: Path, name: str, texts: list[str]) -> np.ndarray:
    spec = read_spec(repository / f"{name}-text")
    tokenizer = gateway_tokenizer(repository, spec)
    rows = []
    for text in texts:
        tokens = tokenizer.encode(text)
        inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        rows.append(run(repository / spec.name, inputs))
    return np.concatenate(rows)
