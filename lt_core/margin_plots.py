"""Figures of margins: what each loss adds to logit n of a sample of class y.

Classes are in order of rank, head first. Functions draw on the axes they are given;
those that need several make the figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from lt_core.plotting import BASELINE_COLOR, METHOD_COLOR, plain, spread

#: Two colours that are not those of class ranks.
DIVERGING = "PuOr_r"


def margins(panels: Mapping[str, np.ndarray], limit: float, columns: int = 4) -> Figure:
    """A panel for each ``title: M``, ``(C, C)`` in nats, on one scale from -limit to limit.

    The scale is linear up to an eighth of the limit and logarithmic beyond, so that small
    and large margins show. Rows are the class y of the sample, columns the logit n. What
    lies beyond the scale takes its last colour; each panel says what its entries off the
    diagonal reach.
    """
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6, 0.2 + 1.85 * rows), sharex=True, sharey=True, squeeze=False
    )
    norm = SymLogNorm(limit / 8, vmin=-limit, vmax=limit, base=2)
    for ax, (title, margin) in zip(axes.flat, panels.items(), strict=False):
        image = ax.imshow(margin, cmap=DIVERGING, norm=norm)
        ends = np.arange(len(margin))[[0, -1]]
        ax.set(xticks=ends, yticks=ends)
        ax.set_title(title, fontsize=7)
        others = margin[~np.eye(len(margin), dtype=bool)]
        reach = f"{_signed(others.min())} to {_signed(others.max())}"
        if others.min() == others.max():
            reach = _signed(others.min())
        ax.set_xlabel(reach, fontsize=6, labelpad=-6)
        ax.tick_params(length=0, labelbottom=True)
        ax.spines[:].set_visible(False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    figure.supxlabel("logit n, by class rank", fontsize=plt.rcParams["axes.labelsize"])
    figure.supylabel("sample of class y", fontsize=plt.rcParams["axes.labelsize"])
    bar = figure.colorbar(image, ax=axes, shrink=0.6, extend="both")
    bar.set_label("margin M[y, n], nats")
    marked = limit / 2.0 ** np.arange(4)
    places = [*-marked, 0, *marked[::-1]]
    bar.set_ticks(places, labels=[f"{place:g}".replace("-", "−") for place in places])
    bar.minorticks_off()
    return figure


def predicted_against_found(
    ax: Axes, forecast: Mapping[str, float], found: Mapping[str, np.ndarray]
) -> None:
    """Share of answers with a rare class, ``(seeds,)``, against the forecast of the boundary.

    Fractions, shown in percent: means over the seeds, bars one standard deviation to
    either side. softmax is grey. A line at one half is where a balanced test set lies.
    """
    ax.axhline(50, color="0.85", linewidth=0.8)
    x = {name: 100 * forecast[name] for name in found}
    y = {name: 100 * np.mean(values) for name, values in found.items()}
    highest = 55.0
    for name, values in found.items():
        deviation = 100 * np.std(values, ddof=1) if len(values) > 1 else 0.0
        color = BASELINE_COLOR if name == "softmax" else METHOD_COLOR
        ax.errorbar(x[name], y[name], deviation, fmt="o", color=color, elinewidth=0.6)
        highest = max(highest, y[name] + deviation + 2)
    ax.set(xlabel="prior taken out between the halves, %", xlim=(-5, 130), ylim=(0, highest))
    ax.set_xticks(range(0, 101, 20))
    ax.set_ylabel("answers with a rare class, %")
    low, high = ax.get_ylim()
    columns = {}
    for name in found:  # labels of points that stand above each other must not overlap
        columns.setdefault(round(x[name] / 12), []).append(name)
    for names in columns.values():
        places = spread([y[name] for name in names], 0.06 * (high - low), low, high)
        for name, place in zip(names, places, strict=True):
            label = ax.text(max(x[n] for n in names) + 2, place, plain(name), va="center")
            label.set(fontsize=7, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})


def _signed(value: float) -> str:
    """A rounded number with a true minus sign; zero without any."""
    text = f"{value:.1f}"
    return "0" if float(text) == 0 else text.replace("-", "−")
