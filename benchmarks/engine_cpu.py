"""The engine's CPU bars, both sides of each ratio in turn in one process.

    python -m benchmarks.engine_cpu --out benchmarks

Wants two quiet cores: under load two-thread figures mean nothing.
"""

from __future__ import annotations

import statistics
import sys
from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import Bench, Report, engine_bars
from lt_core import models
from lt_core.training.engine import Engine

STEPS, ROUNDS = 8, 5


def eager_steps(engine: Engine, batches: list) -> tuple[nn.Module, float]:
    """Plain PyTorch as the published code runs it: float32, channels first.

    Trains the network that ``engine`` began with, by the engine's recipe. Returns the
    network and the mean loss.
    """
    config, recipe = engine.config, engine.recipe
    model = models.create(
        config.model,
        engine.logits.shape[1],
        seed=config.seed,
        in_channels=batches[0][0].shape[1],
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        engine.rates[0],
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
    total = 0.0
    for images, target in batches:
        loss = F.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return model, total / len(batches)


def engine_steps(engine: Engine, count: int = STEPS) -> float:
    """The engine's first steps, data path and loss included; their mean loss."""
    engine.begin_epoch(0)
    for _ in islice(engine.steps(), count):
        pass
    return float(engine.loss_sum) / int(engine.position)


def bare_steps(engine: Engine, batches: list) -> float:
    """Forward, backward and update of the engine's network, and nothing else; the mean loss."""
    engine.model.train()
    engine.optimizer.found_inf = None
    total = 0.0
    for images, target in batches:
        loss = F.cross_entropy(engine.model(images), target)
        gradients = torch.autograd.grad(loss, engine.weights.working)
        engine.weights.take(gradients)
        engine.optimizer.step()
        engine.weights.give()
        total += loss.item()
    return total / len(batches)


def prepared(engine: Engine, count: int = STEPS) -> list:
    """The epoch's first batches, augmented and normalised ahead of time."""
    engine.begin_epoch(0)
    batches = []
    for step in range(count):
        rows = engine.within_batch + engine.recipe.batch_size * step
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


def compare(report: Report, bench: Bench) -> None:
    single, half = bench.engine(), bench.engine(precision="bfloat16")
    ready = {"float32": prepared(single), "bfloat16": prepared(half)}
    plain = [(images.contiguous(), target) for images, target in ready["float32"]]
    arms = {
        "eager NCHW float32": lambda: eager_steps(single, plain),
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


def main() -> int:
    return engine_bars("engine_cpu", __doc__, torch.device("cpu"), compare)


if __name__ == "__main__":
    sys.exit(main())
