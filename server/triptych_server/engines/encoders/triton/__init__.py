"""Encoders on one or more Tritons, through their gRPC API."""

from triptych_server.engines.encoders.triton.engine import TritonEngine

__all__ = ["TritonEngine"]
