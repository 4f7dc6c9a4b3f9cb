"""The dashboard asks for series that exist."""

from pathlib import Path

import grpc
from calls import Stubs, text
from dashboard import GATEWAY, TRITON, VLLM, queries, unanswered

from triptych.v1 import embedding_pb2
from triptych_server.launch import GatewayProcess


def test_every_query_reads_one_of_the_sources() -> None:
    every = list(queries())
    assert len(every) > 20
    for query in every:
        sources = [
            source
            for source in (GATEWAY, TRITON, VLLM)
            if any(name.startswith(source) for name in query.series)
        ]
        assert len(sources) == 1, query


def test_gateway_exports_what_is_asked_of_it(tmp_path: Path) -> None:
    flags = ("--services", "embedding", "--metrics-port", "0")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        Stubs(channel).embedding.Embed(embedding_pb2.EmbedRequest(contents=[text("a circle")]))
        assert unanswered(GATEWAY, process.metrics) == set()
