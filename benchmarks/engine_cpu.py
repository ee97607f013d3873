"""The engine's CPU bars, both sides of each ratio in turn in one process.

    python -m benchmarks.engine_cpu --out benchmarks

Wants two quiet cores: under load two-thread figures mean nothing.
"""

from __future__ import annotations

import statistics

import torch
import torch.nn.functional as F

from benchmarks.common import Bench, Report, arguments
from lt_core import models

STEPS, ROUNDS = 8, 5


def eager_steps(bench: Bench, batches: list) -> None:
    """Plain PyTorch as the published code runs it: float32, channels first."""
    model = models.create("resnet32", 10, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=2e-4)
    for images, target in batches:
        loss = F.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def engine_steps(engine) -> None:
    """The engine's steps, data path and loss included."""
    engine.begin_epoch(0)
    for _, _ in zip(engine.steps(), range(STEPS), strict=False):
        pass


def bare_steps(engine, batches: list) -> None:
    """Forward, backward and update of the engine's network, and nothing else."""
    for images, target in batches:
        loss = F.cross_entropy(engine.model(images), target)
        gradients = torch.autograd.grad(loss, engine.weights.working)
        engine.weights.take(gradients)
        engine.optimizer.step()
        engine.weights.give()


def prepared(engine) -> list:
    """The epoch's first batches, augmented and normalised ahead of time."""
    engine.begin_epoch(0)
    batches = []
    for step in range(STEPS):
        rows = torch.arange(128) + 128 * step
        target = engine.targets[engine.feed.order[rows]]
        batches.append((engine.normalise(engine.feed.batch(rows)), target))
    return batches


def medians(bench: Bench, arms: dict) -> dict[str, list[float]]:
    """Seconds of each arm in each round; the arms take turns within a round."""
    for work in arms.values():
        work()
    return {
        name: seconds
        for name, seconds in zip(
            arms,
            zip(
                *[[bench.seconds(work) for work in arms.values()] for _ in range(ROUNDS)],
                strict=True,
            ),
            strict=True,
        )
    }


def ratio(above: list[float], below: list[float]) -> float:
    """The median over rounds of the ratio within a round: load hits both sides alike."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    options = arguments(__doc__).parse_args()
    bench = Bench(torch.device("cpu"))
    report = Report("engine", bench.device)
    single, half = bench.engine(), bench.engine(precision="bfloat16")
    ready = {"float32": prepared(single), "bfloat16": prepared(half)}
    plain = [(images.contiguous(), target) for images, target in ready["float32"]]
    arms = {
        "eager NCHW float32": lambda: eager_steps(bench, plain),
        "engine, float32": lambda: engine_steps(single),
        "engine, bfloat16": lambda: engine_steps(half),
        "bare steps, float32": lambda: bare_steps(single, ready["float32"]),
        "bare steps, bfloat16": lambda: bare_steps(half, ready["bfloat16"]),
    }
    seconds = medians(bench, arms)
    for name, values in seconds.items():
        report.add(name, STEPS * 128 / statistics.median(values), "images/s")
    eager = seconds["eager NCHW float32"]
    for precision, bar in (("float32", 1.2), ("bfloat16", 1.9)):
        mine = seconds[f"engine, {precision}"]
        gain = ratio(eager, mine)
        report.add(f"engine / eager, {precision}", gain, "x", f">= {bar}", gain >= bar)
        cost = ratio(mine, seconds[f"bare steps, {precision}"])
        report.add(f"whole step / bare step, {precision}", cost, "x", "<= 1.03", cost <= 1.03)
    evaluation = statistics.median(bench.seconds(half.end_epoch) for _ in range(ROUNDS))
    report.add("10,000 images evaluated, bfloat16", evaluation, "s", "<= 3", evaluation <= 3)
    if options.out:
        report.write(options.out, "python -m benchmarks.engine_cpu")


if __name__ == "__main__":
    main()
