"""Draws the picture of the first page and of the README from the records: four losses, ten classes.

python3 start.py picture
"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from lt_core import plots, tables
from lt_core.runs import records

LOSSES = {
    "softmax": "softmax",
    "class_balanced": "class weights",
    "icb": "ICB",
    "logit_adjustment": "logit adjustment",
}


def main() -> None:
    matplotlib.use("Agg")
    plots.style()
    results = records.committed()
    about = {"model": "resnet_rehearsal", "epochs": 40}
    plan = tables.plan("table1", "cifar10", [100], list(LOSSES), **about)
    cells = tables.cells(results.runs, "table1", plan)
    counts, curves = tables.by_class(cells, 100, results.classes)
    rank = np.arange(len(counts))
    fig, ax = plt.subplots(figsize=(4.5, 2.7))
    percent = {said: 100 * curves[name] for name, said in LOSSES.items()}
    images = {"xticks": rank[::3], "xticklabels": [f"{count:,}" for count in counts[::3]]}
    ylim = {"xlim": (0, len(counts) - 1), "ylim": (0, 100)}
    plots.lines(ax, rank, percent, ylabel="accuracy, %", **images, **ylim)
    ax.set_xlabel("training images of the class")
    found = {said: values[..., -1].mean() for said, values in percent.items()}
    ax.set_title(
        f"CIFAR-10, factor 100: of the rarest class softmax finds {found['softmax']:.0f} %,\n"
        f"logit adjustment {found['logit adjustment']:.0f} %"
    )
    here = Path(__file__).parent
    fig.savefig(here / "front.svg", metadata={"Date": None})
    fig.savefig(here / "_assets/front.png", dpi=240)  # for sites that link to the book


if __name__ == "__main__":
    main()
