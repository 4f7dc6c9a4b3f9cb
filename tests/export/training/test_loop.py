from pathlib import Path

import numpy as np
import pytest
import torch

from triptych_export.training.loop import LAST_SHARE, Run, build_optimizers, share_of_rate


class LineTask:
    """A layer and a frozen one."""

    def __init__(self) -> None:
        layers = [torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)]
        self.model = torch.nn.ModuleDict({"tower": torch.nn.Module()})
        self.model["tower"].layers = torch.nn.ModuleList(layers)
        layers[1].requires_grad_(False)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        return self.model["tower"].layers[0](torch.ones(1, 4)).square().sum()

    def after_step(self) -> None:
        """No weight has bounds."""

    def report(self, out: Path, final: bool) -> str:
        return "done"


def step(run: Run) -> None:
    run.task.model.zero_grad()
    run.task.loss(np.random.default_rng(0)).backward()
    for optimizer in run.optimizers:
        optimizer.step()


def test_muon_takes_the_matrices_and_adamw_the_rest_of_what_is_trained() -> None:
    task = LineTask()
    muon, adamw = build_optimizers(task.model)
    layer = task.model["tower"].layers[0]
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(layer.weight)]
    assert [id(p) for p in adamw.param_groups[0]["params"]] == [id(layer.bias)]


def test_the_rate_warms_up_stays_and_falls() -> None:
    assert share_of_rate(0, 0.0) < 0.01
    assert share_of_rate(1000, 0.4) == 1
    assert share_of_rate(1000, 0.75) == pytest.approx((1 + LAST_SHARE) / 2)
    assert share_of_rate(1000, 1.0) == pytest.approx(LAST_SHARE)


def test_a_run_goes_on_from_its_state(tmp_path: Path) -> None:
    task = LineTask()
    run = Run(task, build_optimizers(task.model), step=7, seconds=1.5)
    step(run)
    run.save(tmp_path / "state.pt")
    other = LineTask()
    resumed = Run(other, build_optimizers(other.model))
    resumed.load(tmp_path / "state.pt")
    assert (resumed.step, resumed.seconds) == (7, 1.5)
    step(run)
    step(resumed)
    for one, two in zip(task.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)
