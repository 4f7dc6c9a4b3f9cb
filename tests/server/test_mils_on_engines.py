"""The same search on the engines in process, and on a real Triton and a real vLLM."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from calls import Refusal, Stubs, raw
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scenes import Scenes
from searches import Solved, request, solved
from tritonserver import TritonServer
from vllmserver import VllmServer

from triptych.v1.mils_pb2 import Limits, Proposal, ScoredText, Scoring, Seeds, SolveRequest
from triptych_export.training.proposer_files import checkpoint_of
from triptych_server.launch import GatewayProcess
from triptych_server.offer import MILS
from triptych_server.settings import SHIPPED_REPOSITORY

pytestmark = [pytest.mark.engines, pytest.mark.timeout(400)]

GENERATORS = SHIPPED_REPOSITORY.parent / "generators"
PROPOSER = "miniworld-proposer"
SEEDS = ("a large circle on a white background", "a small red star", "a photo of a blue square")
# Goes on until it is ended.
ENDLESS = Limits(max_steps=1_000, patience=1_000, max_evaluations=100_000)
CONFIG = """
encoders = "triton://{triton}"
data = "{data}"

[[remote_generators]]
name = "{proposer}"
urls = ["{vllm}"]
style = "prompt_embeds"
"""


@pytest.fixture(scope="module")
def triton() -> Iterator[TritonServer]:
    with TritonServer(SHIPPED_REPOSITORY) as server:
        yield server


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    folder = tmp_path_factory.mktemp("checkpoint") / PROPOSER
    checkpoint_of(GENERATORS / PROPOSER, folder)
    flags = ("--enable-prompt-embeds", "--max-model-len", "256")
    with VllmServer(folder, *flags, name=PROPOSER) as server:
        yield server


@pytest.fixture(scope="module")
def remote(
    triton: TritonServer, vllm: VllmServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stubs]:
    folder = tmp_path_factory.mktemp("gateway")
    config = folder / "gateway.toml"
    config.write_text(
        CONFIG.format(triton=triton.grpc, vllm=vllm.url, data=folder / "data", proposer=PROPOSER)
    )
    with (
        GatewayProcess("--config", config, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        yield Stubs(channel)


def greedy(scenes: Scenes, number: int) -> SolveRequest:
    return request(
        raw(scenes.pixels[number]),
        seeds=Seeds(texts=SEEDS),
        proposal=Proposal(model=PROPOSER, candidates=1, temperature=0),
        limits=Limits(max_steps=6, patience=6),
        scoring=Scoring(finalists=2),
    )


def close(found: ScoredText, expected: ScoredText) -> None:
    assert (found.text, found.step) == (expected.text, expected.step)
    assert found.score == pytest.approx(expected.score, abs=1e-5)
    assert found.matching_score == pytest.approx(expected.matching_score, abs=1e-4)


def same(found: Solved, expected: Solved) -> None:
    """Equal but for timing, what was known before, and rounding of scores."""
    for one, other in zip(found.steps, expected.steps, strict=True):
        assert one.step == other.step
        for candidate, reference in zip(one.candidates, other.candidates, strict=True):
            close(candidate, reference)
        close(one.best, other.best)
    for one, other in zip(found.course, expected.course, strict=True):
        assert one.spending == other.spending
    for text, reference in zip(found.result.texts, expected.result.texts, strict=True):
        close(text, reference)
    assert found.result.stop == expected.result.stop


def test_greedy_search_is_the_one_in_process(remote: Stubs, stubs: Stubs, scenes: Scenes) -> None:
    proposed = 0
    for number in range(4):
        found, expected = (
            solved(each.mils.Solve(greedy(scenes, number), timeout=120)) for each in (remote, stubs)
        )
        same(found, expected)
        proposed += found.result.spending.evaluations
    assert proposed


def test_sampled_search_runs_side_by_side(remote: Stubs, scenes: Scenes) -> None:
    asked = request(
        raw(scenes.pixels[0]),
        seeds=Seeds(texts=SEEDS),
        proposal=Proposal(model=PROPOSER, candidates=24),
        limits=Limits(max_steps=3),
    )
    found = solved(remote.mils.Solve(asked, timeout=120))
    assert found.bests == sorted(found.bests)
    assert found.result.spending.evaluations > 24


def serves(stubs: Stubs, wanted: int) -> None:
    """Returns once health says so of the service."""
    asked = health_pb2.HealthCheckRequest(service=MILS)
    for answer in health_pb2_grpc.HealthStub(stubs.channel).Watch(asked, timeout=200):
        if answer.status == wanted:
            return


@pytest.mark.parametrize("engine", ["triton", "vllm"])
def test_engine_that_is_killed_ends_a_search_with_its_error(
    triton: TritonServer, vllm: VllmServer, remote: Stubs, scenes: Scenes, engine: str
) -> None:
    server = {"triton": triton, "vllm": vllm}[engine]
    seeds = Seeds(texts=SEEDS)
    proposal = Proposal(model=PROPOSER, candidates=8, temperature=2)
    asked = request(raw(scenes.pixels[0]), seeds=seeds, proposal=proposal, limits=ENDLESS)
    responses = remote.mils.Solve(asked, timeout=120)
    steps = [next(responses).step, next(responses).step]
    killing = threading.Thread(target=server.kill)
    killing.start()
    with pytest.raises(grpc.RpcError) as caught:
        for response in responses:
            steps.append(response.step)
    killing.join()
    refusal = Refusal(caught.value)
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.retry_after
    assert [step.step for step in steps] == list(range(len(steps)))
    serves(remote, health_pb2.HealthCheckResponse.NOT_SERVING)
    server.start()
    serves(remote, health_pb2.HealthCheckResponse.SERVING)
    found = solved(remote.mils.Solve(greedy(scenes, 0), timeout=120))
    assert found.result.steps
