"""The training loop that the miniature models share: processes, optimizers, schedule and state.

Each thread is a process with batches of its own, and the gradients are averaged: for models this
small that is much faster than sharing the work of one batch. The state is kept in ``DIR/state.pt``
once a minute; a resumed run goes on from there, and time spent before counts.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

MUON_RATE, ADAM_RATE, LAST_SHARE, WEIGHT_DECAY = 2e-3, 1e-3, 0.02, 0.05
WARM_UP_STEPS, FLAT_UNTIL = 200, 0.5  # flat until this share of the time, then a straight line
SAVE_SECONDS, EVALUATE_SECONDS = 60.0, 420.0
_OF_A_LAYER = re.compile(r"\.layers?\.\d")


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    out: Path
    minutes: float
    threads: int
    seed: int
    resume: bool
    rate: float = 1.0  # the peak of the learning rates, as a share of the usual one


class Task(Protocol):
    """One model and what it learns; each process builds its own from the same seed."""

    @property
    def model(self) -> torch.nn.Module:
        """The model, of which what requires gradients is trained."""

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The loss on a new batch by lot."""

    def after_step(self) -> None:
        """Put weights back into the bounds that they have, if any."""

    def report(self, out: Path, final: bool) -> str:
        """Write the checkpoint into ``out`` and return its figures; in full where it is final."""


@dataclass
class Run:
    """The state of one process; all processes hold the same weights, step and seconds."""

    task: Task
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0
    clock: float = field(default_factory=time.perf_counter)  # when the last step ended

    def save(self, path: Path) -> None:
        """Write the state so that a kill leaves either the old file or the new one."""
        state = {
            "model": self.task.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def load(self, path: Path) -> None:
        """Go on from a state file."""
        state = torch.load(path, weights_only=True)
        self.task.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.seconds = state["step"], state["seconds"]


def build_optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest; frozen weights have neither."""
    layers: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim == 2 and _OF_A_LAYER.search(name)
            (layers if matrix else others).append(parameter)
    return [
        torch.optim.Muon(
            layers, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def share_of_rate(step: int, progress: float) -> float:
    """The learning rate as a share of its peak: warm-up, flat, then a straight line down."""
    fall = min(1.0, max(0.0, (progress - FLAT_UNTIL) / (1 - FLAT_UNTIL)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - fall * (1 - LAST_SHARE))


def train_step(run: Run, plan: Plan) -> float:
    """One step on new scenes; returns the loss over all processes."""
    rng = np.random.default_rng([plan.seed, run.step, dist.get_rank()])
    share = plan.rate * share_of_rate(run.step, run.seconds / (60 * plan.minutes))
    model = run.task.model
    loss = run.task.loss(rng)
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    now = time.perf_counter()
    mean_loss, seconds = _average(model, loss.item(), now - run.clock)
    run.clock = now
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, peak in zip(run.optimizers, (MUON_RATE, ADAM_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = share * peak
        optimizer.step()
    run.task.after_step()
    run.step += 1
    run.seconds += seconds
    return mean_loss


def _average(model: torch.nn.Module, *figures: float) -> list[float]:
    """Average gradients and figures over the processes, so that all take the same step."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor(figures)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [*(g.numel() for g in gradients), len(figures)])
    for gradient, part in zip(gradients, parts, strict=False):
        gradient.copy_(part.view_as(gradient))
    averages: list[float] = parts[-1].tolist()
    return averages


def train(plan: Plan, build: Callable[[], Task]) -> None:
    """Train in this process until the time is spent; the first process saves and evaluates."""
    torch.manual_seed(plan.seed)
    task = build()
    run = Run(task, build_optimizers(task.model))
    if plan.resume and (plan.out / "state.pt").exists():
        run.load(plan.out / "state.pt")
    losses: list[float] = []
    saved = evaluated = run.seconds
    while run.seconds < 60 * plan.minutes:
        _stop_without_parent()
        losses.append(train_step(run, plan))
        if run.seconds - saved >= SAVE_SECONDS:
            saved = run.seconds
            if dist.get_rank() == 0:
                run.save(plan.out / "state.pt")
                _print_progress(run, losses)
            losses.clear()
        if run.seconds - evaluated >= EVALUATE_SECONDS:
            evaluated = run.seconds
            _report(run, plan, final=False)
    _report(run, plan, final=True)


def _report(run: Run, plan: Plan, final: bool) -> None:
    """Save the checkpoint and print its figures, while the other processes wait."""
    if dist.get_rank() == 0:
        torch.set_num_threads(plan.threads)
        run.save(plan.out / "state.pt")
        print(run.task.report(plan.out, final), flush=True)
        torch.set_num_threads(1)
    dist.barrier()
    run.clock = time.perf_counter()


def _print_progress(run: Run, losses: list[float]) -> None:
    print(
        f"{run.seconds / 60:6.1f} min  step {run.step}  loss {np.mean(losses):.4f}"
        f"  rate {run.optimizers[0].param_groups[0]['lr']:.1e}",
        flush=True,
    )


def _process(rank: int, plan: Plan, build: Callable[[], Task], port: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=plan.threads
    )
    train(plan, build)
    dist.destroy_process_group()


def _stop_without_parent() -> None:
    parent = parent_process()
    if parent is None or not parent.is_alive():
        raise SystemExit("the process that started the training is gone")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every training."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1, help="learning rates, as a share")
    parser.add_argument("--resume", action="store_true")
    return parser


def run_training(plan: Plan, build: Callable[[], Task]) -> None:
    """Train in ``plan.threads`` processes; ``build`` is called in each and must pickle."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    plan.out.mkdir(parents=True, exist_ok=True)
    spawn(  # type: ignore[no-untyped-call]
        _process, args=(plan, build, _free_port()), nprocs=plan.threads
    )
