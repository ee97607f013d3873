"""What the benchmarks share: data of the right size, timing, and a report."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from lt_core import data
from lt_core.runs import environment
from lt_core.training import RunConfig
from lt_core.training.augment import ImageBank
from lt_core.training.engine import Engine, TestImages

MISSED = "DOES NOT HOLD"


def synthetic(name: str, imbalance_factor: float, test: bool = False) -> data.Dataset:
    """Random images with the shape and class counts of a data set: speed needs no more."""
    about = data.info(name)
    counts = [1000] * 10 if test else None
    counts = counts or data.class_counts(about.num_classes, about.head_count, imbalance_factor)
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (len(targets), *about.image_shape), dtype=torch.uint8, generator=generator
    )
    names = tuple(str(number) for number in range(about.num_classes))
    rows = torch.arange(len(targets)).numpy()
    return data.Dataset(name, "test" if test else "train", images, targets, names, rows)


@dataclass
class Bench:
    """Engines on one device over shared synthetic images."""

    device: torch.device
    dataset: str = "cifar10"
    imbalance_factor: float = 100
    train: data.Dataset = field(init=False)
    test: TestImages = field(init=False)

    def __post_init__(self) -> None:
        self.train = synthetic(self.dataset, self.imbalance_factor)
        self.test = TestImages(synthetic(self.dataset, 1, test=True), self.device)
        self._banks = {}

    def engine(self, method: str = "softmax", graphs: bool | None = None, **fields) -> Engine:
        return self.engine_of(
            RunConfig(self.dataset, method, self.imbalance_factor, **fields), graphs
        )

    def engine_of(self, config: RunConfig, graphs: bool | None = None) -> Engine:
        augmentation = config.resolved_recipe().augmentation()
        if augmentation not in self._banks:
            self._banks[augmentation] = ImageBank(self.train.images, augmentation, self.device)
        bank = self._banks[augmentation]
        return Engine(config, self.train, bank, self.test, self.device, graphs)

    def seconds(self, work: Callable[[], None]) -> float:
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def peak_memory(device: torch.device) -> float:
    """MiB at the peak: of the process, or on a GPU all that PyTorch holds there.

    That is what is reserved: memory in the pools of CUDA graphs counts as free again once
    they are captured, although every replay uses it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def run_epoch(*engines: Engine, epoch: int = 0, evaluate: bool = False) -> int:
    """One epoch of each engine, a step of each in turn; the number of images."""
    active = []
    for engine in engines:
        engine.begin_epoch(epoch)
        active.append(engine.steps())
    while active:
        active = [steps for steps in active if next(steps, True) is None]
    if evaluate:
        for readout in [engine.end_epoch() for engine in engines]:
            readout.read()
    return sum(engine.images_per_epoch for engine in engines)


class Report:
    """Rows of a benchmark, printed as they come and written as CSV and Markdown."""

    def __init__(self, claim: str, device: torch.device):
        self.claim, self.device, self.rows = claim, device, []

    def add(self, what: str, value: float, unit: str, bar: str = "", holds: bool | None = None):
        verdict = {None: "", True: "holds", False: MISSED}[holds]
        row = {"what": what, "value": round(value, 4), "unit": unit, "bar": bar, "verdict": verdict}
        self.rows.append(row)
        print(f"{what:<58} {value:>12,.3f} {unit:<9} {bar:<10} {verdict}", flush=True)

    @property
    def exit_code(self) -> int:
        """0 when every bar holds, else 1."""
        return int(any(row["verdict"] == MISSED for row in self.rows))

    @contextlib.contextmanager
    def kept(self, folder: Path | None, script: str) -> Iterator[None]:
        """Write the rows to ``folder`` at the end; those before an error into files of their own.

        A measurement that did not come to its end replaces none that did, and no page reads it.
        """
        try:
            yield
        except BaseException:
            if folder and self.rows:
                self.write(folder, script, ".partial")
            raise
        if folder and self.rows:
            self.write(folder, script)

    def write(self, folder: Path, script: str, ending: str = "") -> None:
        """Rows, machine and the command as it was given, without options that name a folder."""
        shown, folders = ["python", "-m", f"benchmarks.{script}"], ("--out", "--data-root")
        for before, word in itertools.pairwise(sys.argv):
            if before not in folders and not word.startswith(folders):
                shown.append(word)
        folder.mkdir(parents=True, exist_ok=True)
        hardware = environment.hardware(self.device)
        plain = re.sub(r"\((r|tm)\)|processor", "", hardware.lower())
        slug = "_".join(re.findall(r"[a-z0-9.]+", plain))
        name = f"{self.claim}_{slug}_{time.strftime('%Y%m')}"
        versions = ", ".join(f"{k} {v}" for k, v in environment.versions().items())
        table = pd.DataFrame(self.rows)
        table.to_csv(folder / f"{name}.csv{ending}", index=False)
        cells = [table.columns.tolist(), ["---"] * len(table.columns), *table.to_numpy().tolist()]
        lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in cells]
        head = f"# {self.claim}\n\n`{shlex.join(shown)}`\n\n{hardware}; {versions}.\n\n"
        (folder / f"{name}.md{ending}").write_text(head + "\n".join(lines) + "\n")


def engine_bars(
    script: str, about: str, device: torch.device, measure: Callable[[Report, Bench], None]
) -> int:
    """The exit code of a script that measures the engine: its options, report and rows."""
    options = arguments(about).parse_args()
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"benchmarks.{script}: expected a GPU, this machine has none")
    report = Report("engine", device)
    with report.kept(options.out, script):
        measure(report, Bench(device))
    return report.exit_code


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, help="folder for the CSV and Markdown tables")
    return parser
