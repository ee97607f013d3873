"""What a table costs: images that were counted, over rates that were measured.

Counted numbers come from the network and the plan of a table; measured ones from the
reports that the scripts in ``benchmarks/`` wrote, each with the machine it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lt_core import data, records
from lt_core.doctor import counted_work
from lt_core.training import RunConfig

#: Names of steps in the reports of the engine, in words.
IN_WORDS = {
    "eager NCHW": "a plain loop,",
    "engine": "ours",
    "bare steps": "the network alone",
    "peer": "a plain loop, float32",
    "one run": "ours",
    "runs packed": "runs at once",
}


def million_images(plan: Iterable[RunConfig]) -> float:
    """Work of the runs, in millions of ResNet-32's training images of 32 pixels.

    A training image passes forward and backward; 10,000 test images after each epoch
    pass forward only, a third of the work. Larger images count by their operations.
    """
    unit, images = counted_work("resnet32", "cifar10").flop, 0.0
    for config in plan:
        about = data.info(config.dataset)
        counts = data.class_counts(about.num_classes, about.head_count, config.imbalance_factor)
        scale = counted_work("resnet32", config.dataset).flop / unit
        images += scale * config.epochs * (sum(counts) + 10_000 / 3)
    return images / 1e6


def memory(train_images: int, runs: int, batch_size: int = 128) -> pd.Series:
    """MiB that ``runs`` of ResNet-32 keep on a device in bfloat16, by what they are for."""
    parts = {
        "images": 2 * train_images * 40 * 40 * 3,  # bytes, padded by 4 all round, and mirrored
        "weights": runs * 464_154 * (4 + 4 + 4 + 2),  # masters, momentum, gradients, copies
        # of each convolution: its output, normalised, and after ReLU
        "activations": runs * batch_size * counted_work("resnet32", "cifar10").outputs * 2 * 3,
    }
    return pd.Series(parts) / 2**20


@dataclass(frozen=True)
class Report:
    """One report of a benchmark: which script, on which machine, its rows as written."""

    script: str
    machine: str
    rows: pd.DataFrame

    @property
    def rates(self) -> pd.Series:
        """Images a second by step, in words; empty for another benchmark than the engine's."""
        rates = self.rows[self.rows["unit"] == "images/s"].set_index("what")["value"]
        if not self.script.startswith("engine"):
            return rates[:0]
        return rates.rename(lambda what: _replaced(what, IN_WORDS)).drop("ours", errors="ignore")

    @property
    def wide(self) -> pd.DataFrame:
        """Rows named ``case: quantity``, a line a case and a column a quantity, as text."""
        named = self.rows["what"].str.extract(r"(?P<case>.*): (?P<quantity>.*)")
        named["text"] = list(map(_with_unit, self.rows["value"], self.rows["unit"]))
        named = named[~named["quantity"].str.contains("lowest")]
        short = {"PIL, DataLoader, 2 workers": "DataLoader", "ours / DataLoader": "ratio"}
        wide = named.replace(short).pivot_table("text", "case", "quantity", "first", sort=False)
        return wide.rename_axis(index="", columns=None).reset_index()


def reports(folder: Path | None = None) -> list[Report]:
    """Every report in ``folder``, by default those that come with the package."""
    found = []
    for path in sorted((folder or records.shipped("benchmarks")).glob("*.csv")):
        about = path.with_suffix(".md").read_text("utf-8")
        script = re.search(r"python -m benchmarks\.(\w+)", about)[1]
        machine = re.search(r"^(.*); python ", about, re.MULTILINE)[1]
        machine = machine.replace(", 1 threads", ", one core")
        found.append(Report(script, machine, pd.read_csv(path)))
    return found


def in_words(hours: float) -> str:
    """``32 minutes``, ``52 hours``, ``24 days``: the unit that a person would take."""
    if hours >= 100:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{60 * hours:.0f} minutes"


def _replaced(text: str, names: dict[str, str]) -> str:
    for name, words in names.items():
        text = text.replace(name, words)
    return text


def _with_unit(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {unit}".replace(" x", " times").removesuffix(" images/s")
