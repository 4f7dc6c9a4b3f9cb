"""The least that a gRPC server around the text encoder can be: no batching, no checks, no bounds.

`python minimal.py REPOSITORY` serves EmbeddingService.Embed of one text and prints its port. The
benchmark compares the gateway with it: what both cost is the price of grpc.aio and of one thread.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop
from baseline import TextEncoder
from grpc import aio

from triptych.v1 import embedding_pb2, embedding_pb2_grpc, media_pb2


class MinimalService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Tokenises and computes on one thread."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._executor = ThreadPoolExecutor(1)

    async def Embed(
        self, request: embedding_pb2.EmbedRequest, context: object
    ) -> embedding_pb2.EmbedResponse:
        loop = asyncio.get_running_loop()
        text = request.contents[0].text
        features = await loop.run_in_executor(self._executor, self._encoder, text)
        vector = media_pb2.Vector(data=features.tobytes(), dimension=len(features))
        embedding = embedding_pb2.Embedding(vector=vector)
        result = embedding_pb2.EmbedResult(embedding=embedding)
        return embedding_pb2.EmbedResponse(results=[result])


async def main(repository: Path) -> None:
    """Serve until killed."""
    server = aio.server()
    service = MinimalService(TextEncoder(repository))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(service, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
