"""Train the miniature bilingual CLIP on scenes drawn afresh.

``python -m triptych_export.training.clip --out DIR --minutes 60 --threads 3`` trains for that much
time and leaves a checkpoint that ``CLIPModel.from_pretrained`` loads. The state is kept in
``DIR/state.pt`` once a minute; ``--resume`` goes on from there, and time spent before counts.

Each thread is a process with batches of its own, and the gradients are averaged: for a model this
small that is much faster than sharing the work of one batch.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from transformers import CLIPModel, PreTrainedTokenizerFast

from triptych_export.training.clip_batches import sample_batch
from triptych_export.training.clip_evaluation import evaluate, table
from triptych_export.training.clip_loss import batch_loss
from triptych_export.training.clip_model import build_model, save_checkpoint
from triptych_export.training.tokenizer import build_tokenizer

BATCH, NEGATIVES, PHRASES = 64, 1, 16  # of each process
MUON_RATE, ADAM_RATE, LAST_SHARE, WEIGHT_DECAY = 2e-3, 1e-3, 0.02, 0.05
WARM_UP_STEPS, FLAT_UNTIL = 200, 0.5  # flat until this share of the time, then a straight line
LARGEST_LOG_SCALE = float(np.log(100))
SAVE_SECONDS, EVALUATE_SECONDS = 60.0, 240.0


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    out: Path
    minutes: float
    threads: int
    seed: int
    resume: bool


@dataclass
class Run:
    """The state of one process; all processes hold the same weights, step and seconds."""

    model: CLIPModel
    tokenizer: PreTrainedTokenizerFast
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0
    clock: float = field(default_factory=time.perf_counter)  # when the last step ended

    def save(self, path: Path) -> None:
        """Write the state so that a kill leaves either the old file or the new one."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def load(self, path: Path) -> None:
        """Go on from a state file."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.seconds = state["step"], state["seconds"]


def build_optimizers(model: CLIPModel) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest."""
    layers = [p for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2]
    others = [p for n, p in model.named_parameters() if ".layers." not in n or p.ndim != 2]
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
    share = share_of_rate(run.step, run.seconds / (60 * plan.minutes))
    loss = batch_loss(run.model, run.tokenizer, sample_batch(BATCH, NEGATIVES, PHRASES, rng))
    run.model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    now = time.perf_counter()
    mean_loss, seconds = _average(run.model, loss.item(), now - run.clock)
    run.clock = now
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimizer, peak in zip(run.optimizers, (MUON_RATE, ADAM_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = share * peak
        optimizer.step()
    with torch.no_grad():
        run.model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)
    run.step += 1
    run.seconds += seconds
    return mean_loss


def _average(model: CLIPModel, *figures: float) -> list[float]:
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


def train(plan: Plan) -> None:
    """Train in this process until the time is spent; the first process saves and evaluates."""
    torch.manual_seed(plan.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    run = Run(model, tokenizer, build_optimizers(model))
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
            _report(run, plan, pairs=250)
    _report(run, plan, pairs=1000)


def _report(run: Run, plan: Plan, pairs: int) -> None:
    """Save the checkpoint and print its figures, while the other processes wait."""
    if dist.get_rank() == 0:
        torch.set_num_threads(plan.threads)
        run.save(plan.out / "state.pt")
        save_checkpoint(run.model, run.tokenizer, plan.out)
        print(table(evaluate(run.model, run.tokenizer, pairs=pairs)), flush=True)
        torch.set_num_threads(1)
    dist.barrier()
    run.clock = time.perf_counter()


def _print_progress(run: Run, losses: list[float]) -> None:
    scale = run.model.logit_scale.exp().item()
    print(
        f"{run.seconds / 60:6.1f} min  step {run.step}  loss {np.mean(losses):.4f}"
        f"  scale {scale:.1f}  rate {run.optimizers[0].param_groups[0]['lr']:.1e}",
        flush=True,
    )


def _process(rank: int, plan: Plan, port: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=plan.threads
    )
    train(plan)
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


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    plan = Plan(**vars(parser.parse_args()))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    plan.out.mkdir(parents=True, exist_ok=True)
    spawn(  # type: ignore[no-untyped-call]
        _process, args=(plan, _free_port()), nprocs=plan.threads
    )


if __name__ == "__main__":
    main()
