"""Time and memory of a training step against classes, images and runs at once.

    python -m benchmarks.scaling --out benchmarks

Every setting runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from benchmarks.common import Bench, Report, arguments, peak_memory, synthetic
from lt_core.training import RunConfig
from lt_core.training.augment import ImageBank
from lt_core.training.engine import Engine
from lt_core.training.loop import settings

STEPS = 4
#: name -> (classes, training images, runs in turn)
SETTINGS = {
    "10 classes": (10, 12_406, 1),
    "100 classes": (100, 12_406, 1),
    "1,000 classes": (1000, 12_406, 1),
    "8,142 classes": (8142, 12_406, 1),
    "50,000 images": (10, 50_000, 1),
    "100,000 images": (10, 100_000, 1),
    "2 runs at once": (10, 12_406, 2),
    "4 runs at once": (10, 12_406, 4),
}


def measure(classes: int, images: int, count: int, device: torch.device) -> dict:
    """Milliseconds a step and run, and peak memory in MiB, of ``count`` runs of icb."""
    bench = Bench(device, dataset="cifar10")
    train = synthetic("cifar10", 1)
    repeats = -(-images // len(train.targets))
    train.images = train.images.repeat(repeats, 1, 1, 1)[:images]
    train.targets = torch.arange(images) % classes
    train.class_names = tuple(map(str, range(classes)))
    config = RunConfig("cifar10", "icb", precision="bfloat16")
    bank = ImageBank(train.images, config.resolved_recipe().augmentation(), device)
    engines = [Engine(config, train, bank, bench.test, device) for _ in range(count)]
    with settings(device, deterministic=False):
        seconds = step_seconds(bench, engines)
    return {"ms": 1000 * seconds / count, "mib": peak_memory(device)}


def step_seconds(bench: Bench, engines: list[Engine]) -> float:
    """Seconds of one step of every engine, after one that allocates."""
    iterators = []
    for engine in engines:
        engine.begin_epoch(0)
        iterators.append(engine.steps())
        next(iterators[-1])

    def work() -> None:
        for _ in range(STEPS):
            for steps in iterators:
                next(steps)

    return bench.seconds(work) / STEPS


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.setting:
        print(json.dumps(measure(*SETTINGS[options.setting], device)))
        return 0
    report = Report("scaling", device)
    with report.kept(options.out, "scaling"):
        for name in SETTINGS:
            command = [sys.executable, "-m", "benchmarks.scaling", "--setting", name]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found = json.loads(answer.splitlines()[-1])
            report.add(f"{name}: step of a run", found["ms"], "ms")
            report.add(f"{name}: peak memory", found["mib"], "MiB")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
