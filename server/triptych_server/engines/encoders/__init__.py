"""Encoder engines: who computes the networks of a model repository."""

from triptych_server.engines.encoders.protocol import EncoderEngine, Inference, Tensors
from triptych_server.engines.encoders.spec import (
    EncoderSpec,
    ImagePreprocessing,
    Role,
    Scoring,
    TextPreprocessing,
)

__all__ = [
    "EncoderEngine",
    "EncoderSpec",
    "ImagePreprocessing",
    "Inference",
    "Role",
    "Scoring",
    "Tensors",
    "TextPreprocessing",
]
