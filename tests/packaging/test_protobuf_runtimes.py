"""The generated stubs run on every protobuf that the client allows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROUND_TRIP = """
from google.protobuf import __version__
from triptych.v1 import (
    embedding_pb2, embedding_pb2_grpc, media_pb2, model_pb2, model_pb2_grpc, search_pb2,
    search_pb2_grpc,
)
content = media_pb2.Content(text="a red circle")
request = embedding_pb2.EmbedRequest(contents=[content])
assert embedding_pb2.EmbedRequest.FromString(request.SerializeToString()) == request
print(__version__)
"""


@pytest.mark.parametrize("requirement", ["protobuf==6.33.5", "protobuf<8"])
def test_stubs_import_and_round_trip(tmp_path: Path, requirement: str) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    subprocess.run([*install, "--target", str(tmp_path), requirement], check=True)
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed = next(tmp_path.glob("protobuf-*.dist-info")).name
    # A protobuf 6.33.5 calls itself 6.33.5 in both places.
    assert done.stdout.strip() == installed.removeprefix("protobuf-").removesuffix(".dist-info")
