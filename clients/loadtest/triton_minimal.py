"""The least that a gRPC server in front of a Triton can be: no checks, no bounds, no balancing.

`python triton_minimal.py REPOSITORY HOST:PORT` serves EmbeddingService.Embed of one raw picture of
the encoder's size or one text, and prints its port. The benchmark compares the gateway with it:
what both add is the price of one more hop of grpc.aio.
"""

import sys
from pathlib import Path

import numpy as np
import uvloop
from baseline import entry_of
from grpc import aio
from triton_inputs import Tensors, triton_inputs
from tritonclient.grpc.aio import InferenceServerClient

from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2
from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    FEATURES,
    INPUT_IDS,
    PIXELS,
    Role,
)
from triptych_server.media.text import TextTokenizer


class MinimalService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Makes tensors of what comes, and passes them on."""

    def __init__(self, repository: Path, triton: str) -> None:
        self._triton = InferenceServerClient(triton)
        self._image = entry_of(repository, Role.IMAGE).spec.name
        text = entry_of(repository, Role.TEXT).spec
        assert text.text is not None
        self._text = text.name
        self._tokenizer = TextTokenizer.read(repository, text.name, text.text)

    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: object
    ) -> embedding_pb2.EmbedResponse:
        encoder, tensors = self._tensors(request.contents[0])
        result = await self._triton.infer(encoder, triton_inputs(tensors))
        features = result.as_numpy(FEATURES)[0]
        vector = media_pb2.Vector(data=features.tobytes(), dimension=len(features))
        embedding = embedding_pb2.Embedding(vector=vector)
        embedded = embedding_pb2.EmbedResult(embedding=embedding)
        return embedding_pb2.EmbedResponse(results=[embedded])

    def _tensors(self, content: media_pb2.Content) -> tuple[str, Tensors]:
        """The encoder, and its inputs."""
        if content.HasField("image"):
            raw = content.image.raw
            pixels = np.frombuffer(raw.data, np.uint8).reshape(1, raw.height, raw.width, 3)
            return self._image, {PIXELS: pixels}
        tokens = self._tokenizer.encode(content.text)
        return self._text, {
            INPUT_IDS: tokens.input_ids,
            ATTENTION_MASK: tokens.attention_mask,
        }


async def main(repository: Path, triton: str) -> None:
    """Serve until killed."""
    server = aio.server()
    service = MinimalService(repository, triton)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(service, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
