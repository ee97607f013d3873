"""All GPU bars in one command, both sides of each ratio in turn in one process.

    python -m benchmarks.engine_gpu --out benchmarks

The peer is what published long-tail code does, made generous: images already on the
GPU, crops by one index, eager float32 (with the TF32 that PyTorch allows by default),
and the loss read to the host every step for the log.
"""

from __future__ import annotations

import statistics

import torch
import torch.nn.functional as F

from benchmarks.common import Bench, Report, arguments, run_epoch
from lt_core import models
from lt_core.training.augment import EpochFeed, Normaliser
from lt_core.training.engine import Engine
from lt_core.training.loop import settings

ROUNDS = 3


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


def bare_rate(bench: Bench, engine: Engine) -> float:
    """Images per second of forward, backward and update alone, in a graph of their own."""
    engine.begin_epoch(0)
    with engine.on_stream():
        rows = torch.arange(128, device=bench.device)
        images = engine.normalise(engine.feed.batch(rows)).clone()
        target = engine.targets[engine.feed.order[rows]].clone()

        def step() -> None:
            loss = F.cross_entropy(engine.model(images), target)
            gradients = torch.autograd.grad(loss, engine.weights.working)
            engine.weights.take(gradients)
            engine.optimizer.step()
            engine.weights.give()

        for _ in range(3):
            step()
        replay = engine.captured(step)

    def epoch() -> int:
        with engine.on_stream():
            for _ in range(engine.full_steps):
                replay()
        return engine.full_steps * 128

    return rates(bench, {"bare": epoch})["bare"]


def packed_equals_alone(bench: Bench) -> bool:
    """Whether eight packed runs of two methods have the weights of each run alone, bitwise."""
    methods = ["softmax", "gala"] * 4
    packed = [bench.engine(m, precision="bfloat16", seed=s) for s, m in enumerate(methods)]
    run_epoch(*packed)
    for seed, method in enumerate(methods):
        alone = bench.engine(method, precision="bfloat16", seed=seed)
        run_epoch(alone)
        pairs = zip(alone.weights.master, packed[seed].weights.master, strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            return False
    return True


def full_run(bench: Bench, engines: list[Engine], epochs: int) -> None:
    for epoch in range(epochs):
        run_epoch(*engines, epoch=epoch, evaluate=True)


def main() -> None:
    options = arguments(__doc__).parse_args()
    device = torch.device("cuda")
    bench = Bench(device)
    report = Report("engine", device)
    half, single = bench.engine(precision="bfloat16"), bench.engine()
    packs = {
        count: [bench.engine(precision="bfloat16", seed=seed) for seed in range(count)]
        for count in (2, 4, 8, 16)
    }
    with settings(device, deterministic=False):
        arms = {
            "peer": lambda: peer_epoch(bench, single),
            "one run, float32": lambda: run_epoch(single),
            "one run, bfloat16": lambda: run_epoch(half),
        }
        arms |= {
            f"{n} runs packed, bfloat16": lambda engines=engines: run_epoch(*engines)
            for n, engines in packs.items()
        }
        measured = rates(bench, arms)
        for name, rate in measured.items():
            report.add(name, rate, "images/s")
        one, eight = measured["one run, bfloat16"], measured["8 runs packed, bfloat16"]
        peer = measured["peer"]
        report.add("one run / peer", one / peer, "x", ">= 4", one >= 4 * peer)
        report.add("one run", one, "images/s", ">= 100000", one >= 1e5)
        report.add("eight packed / one run", eight / one, "x", ">= 2", eight >= 2 * one)
        report.add("eight / peer", eight / peer, "x", ">= 10", eight >= 10 * peer)
        share = 1 - one / bare_rate(bench, bench.engine(precision="bfloat16"))
        report.add(
            "data, loss, statistics, logging", 100 * share, "% of step", "<= 10", share <= 0.1
        )
        fresh = [bench.engine(precision="bfloat16")]
        run = bench.seconds(lambda: full_run(bench, fresh, 200))
        report.add("CIFAR-10-LT, factor 100, 200 epochs", run, "s", "<= 30", run <= 30)
        epoch = bench.seconds(lambda: full_run(bench, packs[8], 10)) / 80
        # Images a seed: eight methods at the factors 500, 100, 10 and 1.
        block = 8 * 200 * epoch * 92_848 / half.images_per_epoch / 60
        report.add("Table 1, CIFAR-10 block, one seed", block, "min", "<= 15", block <= 15)
    with settings(device, deterministic=True):
        equal = packed_equals_alone(bench)
        report.add("packed equals alone, bit for bit", float(equal), "", "1", equal)
        slow = [bench.engine(precision="bfloat16", seed=seed) for seed in range(8)]
        cost = eight / rates(bench, {"deterministic": lambda: run_epoch(*slow)})["deterministic"]
        report.add("fast / deterministic, eight packed", cost, "x")
    report.add("GPU memory at its peak", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    if options.out:
        report.write(options.out, "python -m benchmarks.engine_gpu")


if __name__ == "__main__":
    main()
