"""All GPU bars in one command, both sides of each ratio in turn in one process.

    python -m benchmarks.engine_gpu --out benchmarks

The peer is what published long-tail code does, made generous: images already on the
GPU, crops by one index, eager float32 (with the TF32 that PyTorch allows by default,
which the engine's own float32 does without), and the loss read to the host every step
for the log.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter

import torch
import torch.nn.functional as F

from benchmarks.common import Bench, Report, engine_bars, peak_memory, run_epoch
from lt_core import models
from lt_core.tables import plans
from lt_core.training import RunConfig
from lt_core.training.augment import EpochFeed, Normaliser
from lt_core.training.engine import EVALUATION_BATCH, Engine
from lt_core.training.loop import settings

ROUNDS, EPOCHS = 3, 200


@contextlib.contextmanager
def tf32_convolutions() -> Iterator[None]:
    """What PyTorch allows by default, and training's settings do not."""
    convolution = torch.backends.cudnn.conv
    before, convolution.fp32_precision = convolution.fp32_precision, "tf32"
    try:
        yield
    finally:
        convolution.fp32_precision = before


@tf32_convolutions()
def peer_epoch(bench: Bench, engine: Engine) -> int:
    """An epoch of the eager loop that the published repositories run."""
    model = models.create("resnet32", 10, seed=0).to(bench.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=2e-4)
    feed = EpochFeed(engine.bank)
    feed.load(engine.bank.plan(0, 0))
    to_float = Normaliser((0.5,) * 3, (0.2,) * 3, 32, bench.device)
    total = 0.0
    for start in range(0, engine.images_per_epoch, 128):
        rows = torch.arange(start, min(start + 128, engine.images_per_epoch), device=bench.device)
        images = to_float(feed.batch(rows)).contiguous()
        loss = F.cross_entropy(model(images), engine.targets[feed.order[rows]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return engine.images_per_epoch


def rates(bench: Bench, arms: dict) -> dict[str, float]:
    """Images per second of each arm: the median over rounds that take the arms in turn."""
    for work in arms.values():
        work()
    seen = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, work in arms.items():
            images = []
            seconds = bench.seconds(lambda work=work, images=images: images.append(work()))
            seen[name].append(images[0] / seconds)
    return {name: statistics.median(values) for name, values in seen.items()}


def bare_epoch(bench: Bench, engine: Engine) -> Callable[[], int]:
    """What the network alone costs in an epoch: no data, loss, statistics or readout.

    Forward, the backward pass of the logits' sum and the update on images that stay the
    same, and the forward passes of an evaluation, in graphs of their own. The learning
    rate is 0: a sum has no minimum, and the arithmetic should stay that of numbers.
    """
    engine.begin_epoch(0)
    bench.synchronize()
    with engine.on_stream():
        engine.optimizer.param_groups[0]["lr"].zero_()
        engine.optimizer.found_inf = None
        rows = torch.arange(engine.recipe.batch_size, device=bench.device)
        images = engine.normalise(engine.feed.batch(rows)).clone()
        tested = engine.test.images[: EVALUATION_BATCH["cuda"]].permute(0, 3, 1, 2)
        tested = engine.normalise(tested).clone()

        def step(count: int) -> None:
            total = engine.model(images[:count]).sum()
            gradients = torch.autograd.grad(total, engine.weights.working)
            engine.weights.take(gradients)
            engine.optimizer.step()
            engine.weights.give()

        @torch.no_grad()
        def evaluate() -> None:
            for _ in range(len(engine.test.targets) // len(tested)):
                engine.model(tested)

        def captured(work: Callable[[], None]) -> tuple[Callable[[], None], Callable[[], None]]:
            for _ in range(3):
                work()
            return engine.captured(work), work  # which keeps its images alive for the graph

        graphs = [captured(lambda: step(len(images)))] * engine.full_steps
        graphs.append(captured(lambda: step(engine.last_batch)))
        engine.model.eval()
        graphs.append(captured(evaluate))

    def epoch() -> int:
        with engine.on_stream():
            for replay, _ in graphs:
                replay()
        return engine.images_per_epoch

    return epoch


def packed_equals_alone(bench: Bench) -> bool:
    """Whether eight packed runs of two methods have the weights of each run alone, bitwise."""
    methods = ["softmax", "gala"] * 4
    packed = [bench.engine(m, precision="bfloat16", seed=s) for s, m in enumerate(methods)]
    run_epoch(*packed)
    for seed, method in enumerate(methods):
        alone = bench.engine(method, precision="bfloat16", seed=seed)
        run_epoch(alone)
        bench.synchronize()  # the engines' streams do not wait for one another
        pairs = zip(alone.weights.master, packed[seed].weights.master, strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            return False
    return True


def full_run(engines: list[Engine], epochs: int) -> None:
    for epoch in range(epochs):
        run_epoch(*engines, epoch=epoch, evaluate=True)


def table_block() -> list[RunConfig]:
    """The runs of the paper's Table 1 on CIFAR-10, one seed, factor by factor."""
    return plans.plan(
        "table1",
        "cifar10",
        methods=plans.published("table1")["method"].unique(),
        seeds=1,
        precision="bfloat16",
    )


def table_minutes(device: torch.device) -> float:
    """Minutes of :func:`table_block`, from five epochs at each factor."""
    seconds = 0.0
    for factor, configs in groupby(table_block(), attrgetter("imbalance_factor")):
        bench = Bench(device, imbalance_factor=factor)
        engines = [bench.engine_of(config) for config in configs]
        full_run(engines, 1)
        seconds += bench.seconds(lambda engines=engines: full_run(engines, 5)) / 5 * EPOCHS
    return seconds / 60


def compare_rates(report: Report, bench: Bench) -> float:
    """The ratios of the engine and its peer; the rate of eight runs packed."""
    half, single = bench.engine(precision="bfloat16"), bench.engine()
    arms = {
        "peer": lambda: peer_epoch(bench, single),
        "one run, float32": lambda: run_epoch(single),
        "one run, bfloat16": lambda: run_epoch(half),
    }
    for count in (2, 4, 8, 16):
        engines = [bench.engine(precision="bfloat16", seed=seed) for seed in range(count)]
        name = f"{count} runs packed, bfloat16"
        arms[name] = lambda engines=engines: run_epoch(*engines)
    measured = rates(bench, arms)
    for name, rate in measured.items():
        report.add(name, rate, "images/s")
    one, eight = measured["one run, bfloat16"], measured["8 runs packed, bfloat16"]
    peer = measured["peer"]
    report.add("one run / peer", one / peer, "x", ">= 4", one >= 4 * peer)
    report.add("one run", one, "images/s", ">= 100000", one >= 1e5)
    report.add("eight packed / one run", eight / one, "x", ">= 2", eight >= 2 * one)
    report.add("eight / peer", eight / peer, "x", ">= 10", eight >= 10 * peer)
    return eight


def compare_bare(report: Report, bench: Bench) -> None:
    """The share of an epoch of icb, evaluated and read, that is not the network's."""
    engine = bench.engine("icb", precision="bfloat16")
    whole, bare = "one run, icb, evaluated", "its network alone"
    arms = {
        whole: lambda: run_epoch(engine, evaluate=True),
        bare: bare_epoch(bench, bench.engine("icb", precision="bfloat16")),
    }
    measured = rates(bench, arms)
    for name, rate in measured.items():
        report.add(name, rate, "images/s")
    share = 1 - measured[whole] / measured[bare]
    report.add("data, loss, statistics, logging", 100 * share, "% of step", "<= 10", share <= 0.1)


def measure(report: Report, bench: Bench) -> None:
    device = bench.device
    with settings(device, deterministic=False):
        eight = compare_rates(report, bench)
        compare_bare(report, bench)
        fresh = [bench.engine(precision="bfloat16")]
        run = bench.seconds(lambda: full_run(fresh, EPOCHS))
        report.add(f"CIFAR-10-LT, factor 100, {EPOCHS} epochs", run, "s", "<= 30", run <= 30)
        block = table_minutes(device)
        report.add("Table 1, CIFAR-10 block, one seed", block, "min", "<= 15", block <= 15)
    with settings(device, deterministic=True):
        equal = packed_equals_alone(bench)
        report.add("packed equals alone, bit for bit", float(equal), "", "1", equal)
        slow = [bench.engine(precision="bfloat16", seed=seed) for seed in range(8)]
        cost = eight / rates(bench, {"deterministic": lambda: run_epoch(*slow)})["deterministic"]
        report.add("fast / deterministic, eight packed", cost, "x")
    report.add("GPU memory at its peak", peak_memory(device) / 2**10, "GiB")


def main() -> int:
    return engine_bars("engine_gpu", __doc__, torch.device("cuda"), measure)


if __name__ == "__main__":
    sys.exit(main())
