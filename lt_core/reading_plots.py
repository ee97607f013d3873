"""Figures of published numbers beside their noise, and of what stands behind a number.

Accuracies are in percent. A paper's numbers are open markers, ours are filled. Functions
draw on the axes they are given; those that need several make the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lt_core.plotting import (
    BASELINE_COLOR,
    DASHES,
    MARKERS,
    METHOD_COLOR,
    end_labels,
    plain,
    rank_colors,
)

#: Least differences: by the noise as it was estimated, and if the estimate were exact.
OUTER, INNER = "0.9", "0.78"


def spreads(ax: Axes, table: pd.DataFrame) -> None:
    """Standard deviations of one run with their intervals, a row an estimate.

    Columns ``label``, ``sd``, ``low``, ``high``, and ``ours``: filled instead of open.
    """
    y = np.arange(len(table))
    ax.hlines(y, table["low"], table["high"], color="0.75", linewidth=2)
    face = np.where(table["ours"], METHOD_COLOR, "white")
    ax.scatter(table["sd"], y, 20, face, edgecolor=METHOD_COLOR, zorder=3)
    ax.set(xscale="log", xlabel="standard deviation of one run, points")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    _rows(ax, table["label"])


def claims(table: pd.DataFrame, datasets: Sequence[str]) -> Figure:
    """A panel for each of ``datasets``, a row a factor: claimed differences and their noise.

    Columns ``dataset``, ``imbalance_factor``, ``claim`` (a marker each), ``difference``,
    ``noise`` (half the width of the light bar) and ``exact`` (of the dark bar).
    """
    figure, axes = plt.subplots(1, len(datasets), figsize=(6, 2.5), sharex=True, sharey=True)
    axes = np.atleast_1d(axes)
    names = list(pd.unique(table["claim"]))
    offsets = np.linspace(-0.16, 0.16, len(names)) if len(names) > 1 else [0.0]
    factors = list(pd.unique(table["imbalance_factor"]))
    for ax, dataset in zip(axes, datasets, strict=True):
        part = table[table["dataset"] == dataset]
        y = part["imbalance_factor"].map(factors.index).to_numpy()
        ax.barh(y, 2 * part["noise"], 0.62, -part["noise"], color=OUTER)
        ax.barh(y, 2 * part["exact"], 0.62, -part["exact"], color=INNER)
        ax.axvline(0, color="white", linewidth=0.8)
        for name, offset, marker, face in zip(
            names, offsets, "oD", (METHOD_COLOR, "white"), strict=False
        ):
            rows = (part["claim"] == name).to_numpy()
            shown = part["difference"][rows], y[rows] + offset, 16, face
            ax.scatter(*shown, marker=marker, edgecolor=METHOD_COLOR, label=name, zorder=3)
        ax.set_title(plain(dataset))
        _rows(ax, [f"{factor:g}" for factor in factors])
    axes[0].set_ylabel("imbalance factor")
    axes[len(axes) // 2].set_xlabel("difference, points")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(names), loc="outside upper right", fontsize=7)
    return figure


def strips(ax: Axes, runs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Accuracy of single runs, ``{method: {kind: (runs,)}}``, a row each, a bar at the mean."""
    rows = [(method, kind) for method, kinds in runs.items() for kind in kinds]
    for y, (method, kind) in enumerate(rows):
        values = np.asarray(runs[method][kind])
        ax.scatter(values, np.full(len(values), y), 14, METHOD_COLOR, alpha=0.6, linewidth=0)
        ax.scatter(values.mean(), y, 120, METHOD_COLOR, marker="|", zorder=3)
    ax.set_xlabel("test accuracy, %")
    _rows(ax, [f"{method}\n{kind}" for method, kind in rows])


def deviations(ax: Axes, by_class: Mapping[str, np.ndarray]) -> None:
    """Standard deviation of each class's accuracy, ``{label: (C,)}`` in points, by rank."""
    for number, (label, values) in enumerate(by_class.items()):
        colors = rank_colors(len(values))
        rank, face = np.arange(len(values)), colors if number else "white"
        ax.plot(rank, values, color="0.8", linewidth=0.8, zorder=1)
        marked = {"marker": MARKERS[number], "edgecolor": colors, "label": label}
        ax.scatter(rank, values, 20, face, **marked)
    ax.set(xlabel="class rank", ylabel="sd of one run, points", xticks=rank)
    highest = max(np.max(values) for values in by_class.values())
    ax.set_ylim(0, 1.35 * highest)  # room for the legend
    ax.legend(loc="upper left")


def best_and_last(ax: Axes, histories: Mapping[str, pd.DataFrame]) -> None:
    """Test accuracy after each epoch, the last epoch filled and the best one open."""
    ends = {}
    for (label, history), dash in zip(histories.items(), cycle(DASHES), strict=False):
        epoch, top1 = history["epoch"].to_numpy(), history["top1"].to_numpy(float)
        ax.plot(epoch, top1, color=METHOD_COLOR, linestyle=dash, linewidth=0.9)
        best = top1.argmax()
        ax.scatter(epoch[-1], top1[-1], 22, METHOD_COLOR, zorder=3)
        ax.scatter(
            epoch[best], top1[best], 26, "white", marker="D", edgecolor=METHOD_COLOR, zorder=4
        )
        ends[label] = top1[-1]
    ax.set(xlabel="epoch", ylabel="test accuracy, %", xlim=(1, 1.01 * epoch[-1]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    end_labels(ax, epoch[-1], ends)


def shares(ax: Axes, table: pd.DataFrame) -> None:
    """Share in percent against the number of classes (the index), a line a column."""
    looks = zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (_, values), (marker, dash) in zip(table.items(), looks, strict=False):
        style = {"color": METHOD_COLOR, "linestyle": dash, "marker": marker}
        ax.plot(table.index, values, markerfacecolor="white", **style)
    ax.set(xscale="log", xlabel="classes", xticks=table.index, ylim=(0, 100))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(plt.NullLocator())
    end_labels(ax, table.index[-1], table.iloc[-1].to_dict())


def steps(ax: Axes, alone: pd.Series, with_step: pd.Series, baseline: str) -> None:
    """Points beyond ``baseline``, ``alone`` and with a further step; a row an index entry."""
    y = np.arange(len(alone))
    ax.axvline(0, color=BASELINE_COLOR, linewidth=0.8)
    for row in y:
        arrow = {"arrowstyle": "->", "color": BASELINE_COLOR, "shrinkA": 3, "shrinkB": 4}
        ends = (with_step.iloc[row], row), (alone.iloc[row], row)
        ax.annotate("", *ends, arrowprops=arrow)
    marked = {"edgecolor": METHOD_COLOR, "zorder": 3}
    ax.scatter(alone, y, 24, "white", marker="o", label="GALA alone", **marked)
    ax.scatter(with_step, y, 24, "white", marker="D", label="with re-balancing", **marked)
    ax.set_xlabel(f"accuracy minus that of {baseline}, points")
    _rows(ax, alone.index)
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def slopes(ax: Axes, table: pd.DataFrame, baseline: str = "softmax") -> None:
    """A line a row of ``table``, in percent, from column to column, named at its right end."""
    x = np.arange(table.shape[1])
    for label, row in table.iterrows():
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        ax.plot(x, row, color=color, marker="o", markersize=3)
    ax.set(xticks=x, xticklabels=table.columns, xlim=(-0.1, x[-1]), ylabel="accuracy, %")
    end_labels(ax, x[-1], table.iloc[:, -1].to_dict())


def _rows(ax: Axes, labels: pd.Series | list[str]) -> None:
    names = ["\n".join(map(plain, str(label).split("\n"))) for label in labels]
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
