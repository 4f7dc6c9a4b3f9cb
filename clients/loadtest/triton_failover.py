"""What callers notice when one of two Tritons is killed under load.

32 callers make RPCs through a gateway on two Tritons, with a deadline each and no retries of their
own. Midway one Triton is ended with SIGKILL, and then started again on the same port. Reported are,
for each phase, the RPCs, those that failed, by code, how long they took, and the share of the
inferences that each Triton computed. `make bench-engines` runs it; the report is also written to
build/bench/triton-failover.json.
"""

import asyncio
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Annotated, Any

import typer
from baseline import TEXT, entry_of
from bench import BUILD
from google.rpc.code_pb2 import Code
from grpc import aio
from load import raw_picture
from rich.console import Console
from rich.table import Table
from triton_stage import gateway_on
from tritonserver import TritonServer

from triptych.v1 import embedding_pb2, media_pb2, vision_language_pb2
from triptych.v1.embedding_pb2_grpc import EmbeddingServiceStub
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub
from triptych_server.engines.encoders.repository import read_repository
from triptych_server.engines.encoders.spec import Role
from triptych_server.settings import SHIPPED_REPOSITORY

CALLERS = 32
DEADLINE_S = 10.0
POLL_S = 0.05
POLLS = 600  # half a minute
OK = "OK"
console = Console()

Rpc = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC: moments of the monotonic clock, and the name of its status."""

    began: float
    ended: float
    status: str


@dataclass(slots=True)
class Phase:
    """A stretch of time that lasts until the next one, and how many requests each Triton computed
    in it."""

    name: str
    began: float
    served: Sequence[int] = ()

    def report(self, calls: Sequence[Call]) -> dict[str, Any]:
        """Figures of the calls that began in it."""
        milliseconds = [(call.ended - call.began) * 1000 for call in calls]
        return {
            "name": self.name,
            "calls": len(calls),
            "failed": Counter(call.status for call in calls if call.status != OK),
            "median_ms": statistics.median(milliseconds),
            "longest_ms": max(milliseconds),
            "shares": [count / sum(self.served) for count in self.served],
        }


@dataclass(slots=True)
class Play:
    """What happened: every call, in phases, and the moments of the kill and of the return."""

    calls: list[Call] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    killed_at: float = 0.0
    served_again_s: float = 0.0

    def report(self) -> dict[str, Any]:
        """Figures of the phases, and of the calls that were in flight at the kill."""
        in_flight = [call for call in self.calls if call.began < self.killed_at < call.ended]
        bounds = [*(phase.began for phase in self.phases), math.inf]
        return {
            "phases": [
                phase.report([call for call in self.calls if phase.began <= call.began < end])
                for phase, end in zip(self.phases, bounds[1:], strict=True)
            ],
            "in_flight_at_the_kill": len(in_flight),
            "of_which_failed": sum(call.status != OK for call in in_flight),
            "served_again_s": self.served_again_s,
        }


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Length of each phase.")] = 10.0,
) -> None:
    """Measure and print."""
    with (
        TritonServer(SHIPPED_REPOSITORY) as one,
        TritonServer(SHIPPED_REPOSITORY) as other,
        gateway_on(one.grpc, other.grpc, assets=SHIPPED_REPOSITORY) as gateway,
        console.status("failover"),
    ):
        report = asyncio.run(play(gateway.target, one, other, seconds)).report()
    columns = ("phase", "RPCs", "failed", "median ms", "longest ms", "shares")
    table = Table(*columns, title=f"{CALLERS} callers, two Tritons")
    for phase in report["phases"]:
        failed = ", ".join(f"{count} {status}" for status, count in phase["failed"].items())
        figures = (f"{phase[key]:.1f}" for key in ("median_ms", "longest_ms"))
        shares = " / ".join(f"{share:.0%}" for share in phase["shares"])
        table.add_row(phase["name"], str(phase["calls"]), failed or "0", *figures, shares)
    console.print(table)
    console.print(
        f"{report['in_flight_at_the_kill']} RPCs were in flight at the kill, "
        f"{report['of_which_failed']} of them failed; once it was ready again, the Triton got "
        f"requests after {report['served_again_s']:.1f} s"
    )
    path = BUILD / "triton-failover.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {path}")


async def play(target: str, one: TritonServer, other: TritonServer, seconds: float) -> Play:
    """Both serve, `other` is killed, both serve again."""
    what = Play()
    async with callers(target, what.calls):
        async with phase(what, "both", one, other):
            await asyncio.sleep(seconds)
        async with phase(what, "one killed", one):
            what.killed_at = time.monotonic()
            await asyncio.to_thread(other.kill)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(other.start)
        async with phase(what, "both again", one, other):
            began = time.monotonic()
            await first_request(other)
            what.served_again_s = time.monotonic() - began
            await asyncio.sleep(seconds)
    return what


@asynccontextmanager
async def callers(target: str, calls: list[Call]) -> AsyncIterator[None]:
    """Callers at work for as long as the block lasts; `calls` gets what they made."""
    working = True

    async def work(rpcs: Sequence[Rpc], position: int) -> None:
        turns = cycle([*rpcs[position % len(rpcs) :], *rpcs[: position % len(rpcs)]])
        while working:
            began = time.monotonic()
            status = await status_of(next(turns))
            calls.append(Call(began, time.monotonic(), status))

    async with aio.insecure_channel(target) as channel, asyncio.TaskGroup() as group:
        rpcs = rpcs_on(channel)
        for position in range(CALLERS):
            group.create_task(work(rpcs, position))
        yield
        working = False


@asynccontextmanager
async def phase(what: Play, name: str, *tritons: TritonServer) -> AsyncIterator[None]:
    """Begin a phase, and count until the end of the block what these Tritons compute."""
    added = Phase(name, time.monotonic())
    what.phases.append(added)
    before = [await served_by(triton) for triton in tritons]
    yield
    after = [await served_by(triton) for triton in tritons]
    added.served = [now - then for now, then in zip(after, before, strict=True)]


def rpcs_on(channel: aio.Channel) -> list[Rpc]:
    """RPCs that need one encoder each or several: embed, rank, describe."""
    size = entry_of(SHIPPED_REPOSITORY, Role.IMAGE).spec.image
    assert size is not None
    picture = raw_picture(size.height, size.width)
    text = media_pb2.Content(text=TEXT)
    embedding: Any = EmbeddingServiceStub(channel)
    language: Any = VisionLanguageServiceStub(channel)
    short = vision_language_pb2.Generation(max_tokens=4)
    requests = (
        (embedding.Embed, embedding_pb2.EmbedRequest(contents=[picture])),
        (embedding.Embed, embedding_pb2.EmbedRequest(contents=[text])),
        (embedding.Rank, embedding_pb2.RankRequest(query=picture, candidates=[text, text])),
        (
            language.Caption,
            vision_language_pb2.CaptionRequest(images=[picture.image], generation=short),
        ),
    )
    return [partial(rpc, request, timeout=DEADLINE_S) for rpc, request in requests]


async def status_of(rpc: Rpc) -> str:
    """The status of an RPC, or else the first one among its results."""
    try:
        response = await rpc()
    except aio.AioRpcError as error:
        return error.code().name
    codes = [result.error.code for result in response.results if result.HasField("error")]
    return Code.Name(codes[0]) if codes else OK


async def first_request(triton: TritonServer) -> None:
    """Return when a Triton has computed its first request since it was started."""
    for _ in range(POLLS):
        if await served_by(triton):
            return
        await asyncio.sleep(POLL_S)
    raise RuntimeError("the Triton that was started again gets no requests")


async def served_by(triton: TritonServer) -> int:
    """Requests that a Triton has computed since it was started."""

    def count() -> int:
        names = [name for name, _ in read_repository(SHIPPED_REPOSITORY)]
        return sum(triton.statistics(name).requests for name in names)

    return await asyncio.to_thread(count)


if __name__ == "__main__":
    typer.run(main)
