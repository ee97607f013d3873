"""Figures of class priors: measured by gradients, and taken out after training.

Classes are in order of rank, head first. Functions draw on the axes they are given;
those that need several make the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def accumulated(ax: Axes, theta: np.ndarray) -> None:
    """Accumulated gradient ``(epochs, C)`` against the epoch, a line a class by rank."""
    epochs, num_classes = theta.shape
    for k, color in enumerate(rank_colors(num_classes)):
        ax.plot(np.arange(1, epochs + 1), theta[:, k], color=color)
    ax.set(
        yscale="log", xlim=(1, max(epochs, 2)), xlabel="epoch", ylabel="theta, sum of |gradient|"
    )
    ax.yaxis.set_major_formatter("{x:g}")


def exponents(ax: Axes, slopes: Mapping[str, np.ndarray], levels: Mapping[str, float]) -> None:
    """Slopes ``(seeds, epochs)`` of log theta on log prior; ``levels`` are drawn in grey."""
    ends = {}
    for (label, values), dash in zip(slopes.items(), cycle(DASHES), strict=False):
        epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(axis=0)
        ax.fill_between(epochs, values.min(axis=0), values.max(axis=0), color="0.9", linewidth=0)
        ax.plot(epochs, mean, color=METHOD_COLOR, linestyle=dash)
        ends[label] = mean[-1]
    for label, level in levels.items():
        ax.axhline(level, color=BASELINE_COLOR, linewidth=0.8)
        ends[label] = level
    ax.set(xlim=(1, max(len(epochs), 2)), ylim=(0, 1.08), xlabel="epoch", ylabel="slope (exponent)")
    end_labels(ax, epochs[-1], ends)


def against_prior(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], ylabel: str = "share of theta"
) -> Figure:
    """A panel for each ``title: (prior, measured)``, both ``(C,)``, with its fitted line."""
    figure, axes = plt.subplots(1, len(panels), figsize=(6, 2.6), sharey=True, squeeze=False)
    for ax, (title, (prior, measured)) in zip(axes.flat, panels.items(), strict=True):
        line = np.polyfit(np.log(prior), np.log(measured), 1)
        ax.plot(prior, prior, ":", color=BASELINE_COLOR, label="prior itself")
        ax.plot(prior, np.exp(np.polyval(line, np.log(prior))), color="0.4", label="fitted")
        ax.scatter(prior, measured, 20, rank_colors(len(prior)), zorder=3)
        ax.set(title=title, xscale="log", yscale="log", xlabel="prior")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel(ylabel)
    axes[0, 0].legend(loc="lower right")
    return figure


def differences(ax: Axes, table: pd.DataFrame, baseline: str) -> None:
    """Each method minus ``baseline`` with its interval, from ``statistics.compare_methods``."""
    y = np.arange(len(table))
    ax.axvline(0, color=BASELINE_COLOR, linewidth=0.8)
    ax.hlines(y, table["low"], table["high"], color="0.75", linewidth=2)
    ax.scatter(table["difference"], y, color=METHOD_COLOR, s=16, zorder=3)
    ax.set(yticks=y, yticklabels=[plain(label) for label in table.index])
    ax.set(ylim=(len(y) - 0.5, -0.5), xlabel=f"accuracy minus that of {baseline}, points")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def over_tau(ax: Axes, taus: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    """Accuracy ``(runs, taus)`` in percent against tau, means over the runs."""
    ends, every = {}, max(1, len(taus) // 6)
    styles = zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (label, values), (marker, dash) in zip(curves.items(), styles, strict=False):
        mean = values.mean(axis=0)
        style = {"linestyle": dash, "marker": marker, "markevery": every}
        ax.plot(taus, mean, color=METHOD_COLOR, clip_on=False, **style)
        ends[label] = mean[-1]
    ax.set(xlabel="tau", ylabel="accuracy, %", xlim=(taus[0], taus[-1]))
    end_labels(ax, taus[-1], ends)


def gains(ax: Axes, gain: Mapping[str, np.ndarray], columns: list[str]) -> None:
    """Gain ``(runs, columns)`` in points over the untouched prediction, by kind of test set.

    A group of bars a column, a bar a method; whiskers of one standard deviation. The
    legend is above the axes: leave it room with the ``pad`` of a title.
    """
    width, x = 0.8 / len(gain), np.arange(len(columns))
    shades = np.linspace(0.25, 0.85, len(gain))
    for number, ((label, values), shade) in enumerate(zip(gain.items(), shades, strict=True)):
        places = x + (number - (len(gain) - 1) / 2) * width
        deviation = values.std(axis=0, ddof=1) if len(values) > 1 else None
        whisker = {"error_kw": {"elinewidth": 0.6, "ecolor": "0.4"}, "edgecolor": "0.15"}
        ax.bar(
            places,
            values.mean(axis=0),
            width,
            yerr=deviation,
            color=str(shade),
            linewidth=0.5,
            label=label,
            **whisker,
        )
    ax.axhline(0, color="0.15", linewidth=0.8)
    ax.set(xticks=x, xticklabels=columns, ylabel="gain over argmax, points")
    ax.tick_params(axis="x", length=0)
    ax.legend(ncols=len(gain), loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
