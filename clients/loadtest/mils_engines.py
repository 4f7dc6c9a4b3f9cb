"""What concurrent searches share on real engines: 32 Solves at once against the same in sequence.

As `mils.py`, with the encoders on a real Triton and the proposer on a real vLLM, which both stay
for all runs; vLLM forgets its prefixes before each. Rows of a step are the tokens that vLLM wrote,
by its steps, those of prompts included. `make bench-engines` runs it; the report is also written to
build/bench/mils-engines.json.
"""

import os
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from mils import BUILD, compare
from tritonserver import TritonServer
from vllmserver import VllmServer

from triptych_export.training.proposer_files import checkpoint_of
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

TEXT_ENCODER, PROPOSER = "miniworld-clip-text", "miniworld-proposer"
CONFIG = """
encoders = "triton://{triton}"
data = "{data}"
services = ["mils"]

[[remote_generators]]
name = "{proposer}"
urls = ["{vllm}"]
style = "prompt_embeds"
"""


class OnEngines:
    """A gateway, counted by its engines."""

    def __init__(self, target: str, triton: TritonServer, vllm: VllmServer) -> None:
        self.target = target
        self._triton, self._vllm = triton, vllm
        self._last = self._all()

    def counts(self) -> Mapping[str, float]:
        """`mils.Counted.counts`."""
        before, self._last = self._last, self._all()
        return {name: count - before[name] for name, count in self._last.items()}

    def _all(self) -> Mapping[str, float]:
        texts = self._triton.statistics(TEXT_ENCODER)
        return {
            "text_rows": texts.inferences,
            "text_batches": texts.executions,
            "generator_rows": self._vllm.metric("vllm:generation_tokens_total"),
            "generator_steps": self._vllm.metric("vllm:iteration_tokens_total_count"),
        }


def main(
    runs: Annotated[int, typer.Option(min=1, help="Alternated runs of each side.")] = 3,
) -> None:
    """Measure and print the figures."""
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # to be told to forget
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / PROPOSER
        checkpoint_of(SHIPPED_REPOSITORY.parent / "generators" / PROPOSER, checkpoint)
        flags = ("--enable-prompt-embeds", "--max-model-len", "256")
        with (
            TritonServer(SHIPPED_REPOSITORY) as triton,
            VllmServer(checkpoint, *flags, name=PROPOSER) as vllm,
        ):
            compare(runs, lambda: gateway(triton, vllm), BUILD / "mils-engines.json")


@contextmanager
def gateway(triton: TritonServer, vllm: VllmServer) -> Iterator[OnEngines]:
    """A new gateway on both."""
    forget = urllib.request.Request(f"{vllm.url}/reset_prefix_cache", method="POST")
    urllib.request.urlopen(forget).close()
    BUILD.mkdir(parents=True, exist_ok=True)
    config = BUILD / "mils-engines.toml"
    config.write_text(
        CONFIG.format(triton=triton.grpc, vllm=vllm.url, data=BUILD / "data", proposer=PROPOSER)
    )
    with GatewayProcess("--config", config, log=BUILD / "gateway.log") as process:
        yield OnEngines(process.target, triton, vllm)


if __name__ == "__main__":
    typer.run(main)
