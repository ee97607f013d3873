"""Draws the picture of the first page and of the README from the records: four losses, ten classes.

python3 start.py picture
"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from lt_core import plots, tables
from lt_core.runs import records

LOSSES = ("softmax", "class_balanced", "icb", "logit_adjustment")


def main() -> None:
    matplotlib.use("Agg")
    plots.style()
    results = records.committed()
    about = {"model": "resnet_rehearsal", "epochs": 40}
    plan = tables.plan("table1", "cifar10", [100], LOSSES, **about)
    cells = tables.cells(results.runs, "table1", plan)
    counts, curves = tables.by_class(cells, 100, results.classes)
    rank = np.arange(len(counts))
    fig, ax = plt.subplots(figsize=(4.6, 3))
    percent = {name: 100 * curves[name] for name in LOSSES}
    images = {"xticks": rank[::3], "xticklabels": [f"{count:,}" for count in counts[::3]]}
    ylim = {"xlim": (0, len(counts) - 1), "ylim": (0, 100)}
    plots.lines(ax, rank, percent, ylabel="accuracy, %", **images, **ylim)
    ax.set_xlabel("training images of the class")
    found = {name: percent[name][..., -1].mean() for name in LOSSES}
    ax.set_title(
        f"CIFAR-10, factor 100: of the rarest class softmax finds {found['softmax']:.0f} %,\n"
        f"logit adjustment {found['logit_adjustment']:.0f} %"
    )
    fig.savefig(Path(__file__).with_name("front.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
