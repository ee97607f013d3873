"""Every loss against ``F.cross_entropy``: forward and backward on a CPU.

    python -m benchmarks.losses

Each loss runs between two calls of cross-entropy, in one process and thread; the ratio is
taken within a round, in CPU time of the thread, so that waiting for other work on a shared
machine does not count. Operations are those dispatched, views left out, checks of a CPU
included. At few classes cost roughly follows their number, at many the work at every logit; a
random number for each logit is dear at both.

The script starts itself again with an allocator that keeps freed memory, as a training loop's
does: otherwise each 17 MB tensor is mapped anew, the kernel's page faults cost more than the
arithmetic, and ratios swing by a factor of two from run to run.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.common import Report, arguments
from lt_core import data, losses

SIZES = [(512, 8142), (128, 100)]
#: Forms beside the defaults that a bar names, or that differ most in cost.
FORMS = [
    ("icb", {"inter": False}),
    ("icb", {"inter": False, "density": "uniform"}),
    ("icb", {"inter": False, "density": "exact"}),
    ("ghm", {"form": "sigmoid"}),
]
#: Loss -> at most this many times cross-entropy at the largest size.
BARS = {
    "class_balanced": 1.5,
    "effective_number": 1.5,
    "focal": 1.5,
    "logit_adjustment": 1.5,
    "balanced_softmax": 1.5,
    "gala": 1.5,
    "seesaw": 2.5,
    "icb inter=False": 1.5,
    "icb inter=False density=uniform": 1.5,
}
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
    "OMP_NUM_THREADS": "1",
}
VIEWS = {"alias", "detach", "expand", "select", "slice", "squeeze", "t", "unsqueeze", "view"}


class Operations(TorchDispatchMode):
    """Counts what is dispatched."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function._schema.name.removeprefix("aten::") not in VIEWS
        return function(*args, **(kwargs or {}))


def seconds(loss, logits, target) -> float:
    """CPU seconds of one forward and backward."""
    logits.grad = None
    begin = time.thread_time()
    loss(logits, target).backward()
    return time.thread_time() - begin


def ratios(loss, logits, target, rounds: int) -> list[float]:
    """Cost of ``loss`` in units of the two cross-entropies around it, a value a round."""
    values = []
    before = seconds(F.cross_entropy, logits, target)
    for _ in range(rounds):
        cost = seconds(loss, logits, target)
        after = seconds(F.cross_entropy, logits, target)
        values.append(2 * cost / (before + after))
        before = after
    return values


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="rounds at the larger size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("losses", torch.device("cpu"))
    for batch, classes in SIZES:
        rounds = options.rounds if classes > 1000 else 10 * options.rounds
        generator = torch.Generator().manual_seed(0)
        counts = data.class_counts(classes, 1000, 100)
        logits = torch.randn(batch, classes, generator=generator)
        target = torch.randint(classes, (batch,), generator=generator)
        plain = logits.clone().requires_grad_()
        own = [seconds(F.cross_entropy, plain, target) for _ in range(rounds)]
        size = f"B={batch}, C={classes}"
        report.add(f"{size}: F.cross_entropy", 1e3 * statistics.median(own), "ms")
        for name, params in [*((name, {}) for name in losses.names()), *FORMS]:
            loss = losses.create(name, counts, **params)
            leaf = (logits.tanh() if loss.takes_cosines else logits.clone()).requires_grad_()
            ratios(loss, leaf, target, 3)
            ratio = statistics.median(ratios(loss, leaf, target, rounds))
            label = " ".join([name, *(f"{key}={value}" for key, value in params.items())])
            bar = BARS.get(label) if classes > 1000 else None
            with Operations() as operations:
                seconds(loss, leaf, target)
            what = f"{size}: {label} ({operations.count} ops)"
            holds = None if bar is None else ratio <= bar
            report.add(what, ratio, "x CE", f"<= {bar}" if bar else "", holds)
    if options.out:
        report.write(options.out, "losses")
    return report.exit_code


if __name__ == "__main__":
    if any(os.environ.get(key) != value for key, value in ALLOCATOR.items()):
        command = [sys.executable, "-m", "benchmarks.losses", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ALLOCATOR)
    sys.exit(main())
