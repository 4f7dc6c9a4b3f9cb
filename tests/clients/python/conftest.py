"""Local gRPC servers of a few lines, for what a gateway cannot be made to do on cue."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from triptych.v1 import (
    embedding_pb2_grpc,
    media_pb2,
    mils_pb2,
    mils_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    vision_language_pb2,
    vision_language_pb2_grpc,
)

ADD = (
    (
        embedding_pb2_grpc.EmbeddingServiceServicer,
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server,
    ),
    (search_pb2_grpc.SearchServiceServicer, search_pb2_grpc.add_SearchServiceServicer_to_server),
    (mils_pb2_grpc.MilsServiceServicer, mils_pb2_grpc.add_MilsServiceServicer_to_server),
    (model_pb2_grpc.ModelServiceServicer, model_pb2_grpc.add_ModelServiceServicer_to_server),
    (
        vision_language_pb2_grpc.VisionLanguageServiceServicer,
        vision_language_pb2_grpc.add_VisionLanguageServiceServicer_to_server,
    ),
)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve a servicer on a free port and return its target; stops with the test."""
    servers: list[grpc.Server] = []

    def start(servicer: Any, address: str = "127.0.0.1:0") -> str:
        server = grpc.server(
            ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)]
        )
        for base, add in ADD:
            if isinstance(servicer, base):
                add(servicer, server)
        port = server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def tell_end(context: Any, ended: threading.Event) -> None:
    """Set an event when a call is over, also if it is already."""
    if not context.add_callback(ended.set):
        ended.set()


class Recorder(search_pb2_grpc.SearchServiceServicer):
    """Answers upserts in groups of `group`, with 0 never; `ended` is set when a stream is over."""

    def __init__(self, group: int = 1) -> None:
        self.group = group
        self.received: list[str] = []
        self.first = threading.Event()
        self.ended = threading.Event()

    def UpsertItems(self, requests: Any, context: Any) -> Any:
        tell_end(context, self.ended)
        waiting: list[str] = []
        for request in requests:
            self.received.append(request.item.id)
            self.first.set()
            waiting.append(request.item.id)
            if request.item.id == "abort":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no more")
            if len(waiting) == self.group:
                yield from map(upserted, waiting)
                waiting = []
        if self.group:
            yield from map(upserted, waiting)


def upserted(item_id: str) -> search_pb2.UpsertItemsResponse:
    return search_pb2.UpsertItemsResponse(
        id=item_id, upserted=search_pb2.UpsertedItem(created=True)
    )


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


class Talker(vision_language_pb2_grpc.VisionLanguageServiceServicer):
    """Says what it was asked, word by word.

    At the word `wait` it waits for the end of the call, and at `fail` it fails. Files that begin
    with `bad` are no pictures, and those that begin with `fail` fail the call. `requests` are those
    received; `ended` is set when a chat is over.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.ended = threading.Event()

    def Caption(self, request: vision_language_pb2.CaptionRequest, context: Any) -> Any:
        self.requests.append(request)
        if any(image.encoded.startswith(b"fail") for image in request.images):
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        count = request.num_captions or 1
        unreadable = media_pb2.ItemError(
            code=3, reason="IMAGE_UNREADABLE", field="encoded", message="no picture"
        )
        return vision_language_pb2.CaptionResponse(
            results=[
                vision_language_pb2.CaptionResult(error=unreadable)
                if image.encoded.startswith(b"bad")
                else vision_language_pb2.CaptionResult(
                    captions=vision_language_pb2.Captions(
                        captions=[caption(request, rank) for rank in range(count)]
                    )
                )
                for image in request.images
            ],
            model="talker",
            usage=vision_language_pb2.Usage(prompt_tokens=1, completion_tokens=2),
        )

    def Answer(self, request: vision_language_pb2.AnswerRequest, context: Any) -> Any:
        self.requests.append(request)
        share = 1 / max(len(request.choices), 1)
        return vision_language_pb2.AnswerResponse(
            answer=request.choices[-1] if request.choices else f"so, {request.question}",
            log_probability=-0.5,
            finish_reason=0 if request.choices else vision_language_pb2.FINISH_REASON_LENGTH,
            choices=[
                vision_language_pb2.ChoiceScore(choice=choice, probability=share)
                for choice in request.choices
            ],
            model="talker",
        )

    def Chat(self, request: vision_language_pb2.ChatRequest, context: Any) -> Any:
        self.requests.append(request)
        tell_end(context, self.ended)
        for word in request.messages[-1].contents[-1].text.split():
            if word == "wait":
                self.ended.wait(60)
            if word == "fail":
                context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            delta = vision_language_pb2.ChatDelta(text=word + " ")
            yield vision_language_pb2.ChatResponse(delta=delta)
        yield vision_language_pb2.ChatResponse(
            end=vision_language_pb2.ChatEnd(
                finish_reason=vision_language_pb2.FINISH_REASON_STOP,
                trimmed_messages=max(len(request.messages) - 3, 0),
                model="talker",
            )
        )


def caption(request: vision_language_pb2.CaptionRequest, rank: int) -> vision_language_pb2.Caption:
    return vision_language_pb2.Caption(
        text=f"{request.prompt} number {rank}",
        log_probability=-1.5 - rank,
        tokens=4,
        finish_reason=vision_language_pb2.FINISH_REASON_STOP,
        clip_score=0.25 if request.scoring.clip else None,
        itm_score=0.75 if request.scoring.itm else None,
    )


@pytest.fixture
def talker() -> Talker:
    return Talker()


class Searcher(mils_pb2_grpc.MilsServiceServicer, model_pb2_grpc.ModelServiceServicer):
    """Finds `found 1`, `found 2` and so on, each better than the last, after the seeds' texts.

    It makes as many steps as the limits say. The guidance `wait` makes it wait for the end of the
    call after the first of them, `fail` fail there. `requests` are those received, `deadlines` the
    seconds that they gave; `ended` is set when a search is over. `roles` are those of its encoders.
    """

    def __init__(self) -> None:
        self.roles = [model_pb2.ROLE_ITM]
        self.requests: list[Any] = []
        self.deadlines: list[float] = []
        self.ended = threading.Event()

    def Solve(self, request: mils_pb2.SolveRequest, context: Any) -> Any:
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        tell_end(context, self.ended)
        seeds = [mils_pb2.ScoredText(text=text, score=0.25) for text in request.seeds.texts]
        found = seeds[:1]
        yield searched(0, seeds, found)
        for step in range(1, request.limits.max_steps + 1):
            best = mils_pb2.ScoredText(text=f"found {step}", score=0.25 + step / 8, step=step)
            found = [best, *found]
            yield searched(step, [best], found)
            if request.proposal.guidance == "wait":
                self.ended.wait(60)
            if request.proposal.guidance == "fail":
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if request.scoring.finalists and found:
            found[0].matching_score = 0.75
        yield mils_pb2.SolveResponse(
            result=mils_pb2.SolveResult(
                texts=found,
                best=found[0] if found else None,
                stop=mils_pb2.SOLVE_STOP_STEPS,
                steps=request.limits.max_steps,
                space="a space",
                proposal_model="writer",
                scorer_models=["scorer"],
            )
        )

    def Propose(self, request: mils_pb2.ProposeRequest, context: Any) -> Any:
        self.requests.append(request)
        count = request.count or 8
        return mils_pb2.ProposeResponse(
            results=[
                mils_pb2.ProposedTexts(texts=[f"a {subject} {rank}" for rank in range(count)])
                for subject in request.subjects
            ],
            model="writer",
            unparsed=1,
            usage=vision_language_pb2.Usage(prompt_tokens=1, completion_tokens=2),
        )

    def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> Any:
        encoders = [
            model_pb2.Encoder(role=role, state=model_pb2.STATE_READY) for role in self.roles
        ]
        return model_pb2.ListModelsResponse(models=[model_pb2.Model(name="m", encoders=encoders)])


def searched(step: int, candidates: Any, found: Any) -> mils_pb2.SolveResponse:
    return mils_pb2.SolveResponse(
        step=mils_pb2.SolveStep(
            step=step,
            best=found[0] if found else None,
            candidates=candidates,
            spending=mils_pb2.Spending(
                evaluations=10 * step, usage=vision_language_pb2.Usage(completion_tokens=100 * step)
            ),
        )
    )


@pytest.fixture
def searcher() -> Searcher:
    return Searcher()
