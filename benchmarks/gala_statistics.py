"""GALA's statistics: one vector against a loop over samples.

    OMP_NUM_THREADS=1 python -m benchmarks.gala_statistics

Both sides run in turn in one process; the ratio is taken within a round. The loop does
what the released training step does, written from its description: sample by sample it
reads the label to the host and adds the pull and the push of the sample's gradient to its
class's part of C x C matrices, adds these to the running totals, and reads pull and push per
class off them. It is a lean one: the released step reads each label four times and keeps six
such matrices, this one twice and four, row by row as memory likes it. Each side starts from
what the step has at hand, the loop from the gradient of the logits, ours from the losses of
the samples. That both end with equal theta and phi is asserted; the push per logit, which
the released step also keeps, enters no loss, and ours has none.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.common import Report, arguments
from lt_core import losses
from lt_core.losses.base import finite_rows
from lt_core.losses.gala import accumulate

#: (batch, classes) -> how many times faster than the loop it has to be.
BARS = {(128, 100): 30, (512, 1000): 50, (512, 8142): 250}


class Loop:
    """The statistics of the released step: C x C matrices, sample by sample."""

    def __init__(self, num_classes: int):
        size = (num_classes, num_classes)
        self.pull, self.push, self.total_pull, self.total_push = (
            torch.zeros(size) for _ in range(4)
        )

    def update(self, gradient: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """theta, phi and the push on each logit, each ``(C,)``."""
        pull, push = gradient.clamp(max=0).neg(), gradient.clamp(min=0)
        for i in range(len(target)):
            self.pull[target[i].item()] += pull[i]
            self.push[target[i].item()] += push[i]
        self.total_pull += self.pull
        self.total_push += self.push
        return self.total_pull.diagonal(), self.total_push.sum(dim=1), self.total_push.sum(dim=0)


def seconds(work, *arguments) -> float:
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


def rounds_of(batch: int, classes: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of every round of the loop and of ours, after one that checks their equality."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, generator=generator).requires_grad_()
    target = torch.randint(classes, (batch,), generator=generator)
    sample_loss = F.cross_entropy(logits, target, reduction="none")
    (gradient,) = torch.autograd.grad(sample_loss.mean(), logits)
    sample_loss = sample_loss.detach()

    loop = Loop(classes)
    gala = losses.create("gala", [1] * classes, variant="released")

    def ours() -> None:
        accumulate(sample_loss, target, finite_rows(logits), gala.theta, gala.running_total)

    for _ in range(2):
        theta, phi, _ = loop.update(gradient, target)
        ours()
    torch.testing.assert_close(gala.theta.float(), theta, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(gala.phi.float(), phi, rtol=1e-4, atol=1e-7)

    theirs, mine = [], []
    repeats = max(1, 200 // rounds)  # ours takes microseconds: the mean of several calls
    for _ in range(rounds):
        theirs.append(seconds(loop.update, gradient, target))
        mine.append(statistics.median(seconds(ours) for _ in range(repeats)))
    return theirs, mine


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of either side, in turn")
    options = parser.parse_args()
    report = Report("gala_statistics", torch.device("cpu"))
    for (batch, classes), bar in BARS.items():
        theirs, mine = rounds_of(batch, classes, options.rounds)
        ratios = [loop / ours for loop, ours in zip(theirs, mine, strict=True)]
        ratio, size = statistics.median(ratios), f"B={batch}, C={classes}"
        report.add(f"{size}: loop over samples", 1e3 * statistics.median(theirs), "ms")
        report.add(f"{size}: ours", 1e3 * statistics.median(mine), "ms")
        report.add(f"{size}: lowest ratio of {options.rounds} rounds", min(ratios), "x")
        report.add(f"{size}: loop / ours", ratio, "x", f">= {bar}", ratio >= bar)
    if options.out:
        report.write(options.out, "gala_statistics")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
