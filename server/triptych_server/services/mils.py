"""MilsService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from triptych.v1 import mils_pb2, mils_pb2_grpc
from triptych_server.capabilities.mils.events import Step
from triptych_server.capabilities.mils.solving import Solver
from triptych_server.capabilities.mils.subject_writer import SubjectWriter
from triptych_server.capabilities.timing import Stopwatch
from triptych_server.services import media, mils_messages
from triptych_server.services.mils_rules import PROPOSE, SOLVE
from triptych_server.services.rules import check
from triptych_server.services.vision_language_messages import usage


class MilsService(mils_pb2_grpc.MilsServiceServicer):
    """Solve over `Solver`, Propose over `SubjectWriter`."""

    def __init__(self, solver: Solver, writer: SubjectWriter) -> None:
        self._solver = solver
        self._writer = writer

    async def Solve(
        self, request: mils_pb2.SolveRequest, context: Any
    ) -> AsyncIterator[mils_pb2.SolveResponse]:
        whole = since_step = Stopwatch()
        check(SOLVE, request)
        query = mils_messages.solve_query(request)
        async with aclosing(self._solver.solve(query)) as events:
            async for event in events:
                if isinstance(event, Step):
                    step = mils_messages.step(event, since_step)
                    since_step = Stopwatch()
                    yield mils_pb2.SolveResponse(step=step)
                else:
                    yield mils_pb2.SolveResponse(result=mils_messages.result(event, whole))

    async def Propose(
        self, request: mils_pb2.ProposeRequest, context: Any
    ) -> mils_pb2.ProposeResponse:
        watch = Stopwatch()
        check(PROPOSE, request)
        written = await self._writer.write(mils_messages.propose_query(request))
        about = written.about
        return mils_pb2.ProposeResponse(
            results=[mils_pb2.ProposedTexts(texts=texts) for texts in about.texts],
            model=written.model,
            unparsed=about.unparsed,
            usage=usage(about.usage),
            timing=media.timing(watch, about.times),
        )
