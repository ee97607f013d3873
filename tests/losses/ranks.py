"""Two gloo ranks train every loss on halves of the same batches."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def train(create, batches, *, rank: int | None = None) -> dict:
    """Losses, logit gradients and state after ``batches``, of one rank's halves or whole."""
    loss = create()
    values, gradients = [], []
    for logits, target, kwargs in batches:
        if rank is not None:
            half = slice(rank, None, 2)
            logits, target = logits[half], target[half]
            kwargs = {key: draw[half] for key, draw in kwargs.items()}
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, target, **kwargs)
        value.backward()
        values.append(value.detach())
        gradients.append(leaf.grad)
    return {"values": values, "gradients": gradients, "state": dict(loss.named_buffers())}


def _work(rank: int, folder: str, jobs: dict) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        results = {key: train(*job, rank=rank) for key, job in jobs.items()}
        torch.save(results, Path(folder) / f"rank{rank}.pt")
    finally:
        dist.destroy_process_group()


def run_two(folder: Path, jobs: dict) -> list[dict]:
    """``jobs``: key -> (create, batches); the results of rank 0 and rank 1."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.start_processes(_work, args=(str(folder), jobs), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]
