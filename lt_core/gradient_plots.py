"""Figures of softmax's forces: who pulls, who pushes, and whether they balance.

Classes are in order of rank, head first; forces come as
:class:`~lt_core.gradients.GradientTracker` holds them. Functions draw on the axes they
are given; those that need several make the figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.stats import spearmanr

from lt_core.plotting import BASELINE_COLOR, rank_colors


def forces(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A panel for each ``title: (pull, push)``, both ``(C,)``, on one log axis.

    ``pull`` is ``positive``, drawn filled; ``push`` is ``received``, drawn open.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(6, 2.6), sharey=True, squeeze=False)
    for ax, (title, (pull, push)) in zip(axes.flat, panels.items(), strict=True):
        rank, colors = np.arange(len(pull)), rank_colors(len(pull))
        ax.plot(rank, pull, color=BASELINE_COLOR, linewidth=0.8, zorder=1)
        ax.plot(rank, push, color=BASELINE_COLOR, linewidth=0.8, linestyle="--", zorder=1)
        ax.scatter(rank, pull, 20, colors, marker="^", zorder=2, label="pull of its own samples")
        edges = {"facecolor": "white", "edgecolor": colors, "linewidth": 1}
        ax.scatter(rank, push, 20, marker="v", zorder=2, label="push of all others", **edges)
        ax.set(title=title, yscale="log", xlabel="class rank", xticks=_ticks(len(rank), 5))
        ax.yaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel("sum of |gradient|")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def balance(ax: Axes, ratio: np.ndarray, start: np.ndarray) -> None:
    """Pull over push ``(epochs, C)`` against the epoch, each line led in from its start.

    ``start`` ``(C,)`` stands left of epoch 1, where each line carries its class rank.
    """
    epochs, num_classes = ratio.shape
    ax.axhline(1, color=BASELINE_COLOR, linewidth=0.8)
    for k, color in enumerate(rank_colors(num_classes)):
        ax.plot(np.arange(1, epochs + 1), ratio[:, k], color=color)
        ax.plot([0.5, 1], [start[k], ratio[0, k]], ":o", color=color, markevery=[0])
        if num_classes <= 20:
            ax.text(0.46, start[k], str(k), color=color, ha="right", va="center", fontsize=7)
    ax.set(xscale="log", yscale="log", xlim=(0.4, epochs), xlabel="epoch")
    ax.set_ylabel("pull / push, both summed so far")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")


def pushes(panels: Mapping[str, np.ndarray], columns: int = 3) -> Figure:
    """A panel for each ``title: negative``, ``(C, C)``: dark where the push is strong.

    Rows are the class of the samples, columns the logit. Entries are shares of their
    panel's total on a logarithmic scale around ``1 / C**2`` that depends on nothing else, so
    that panels can be compared. Grey, because colour means class rank; a sample does not
    push its own logit, so the diagonal is empty and a line marks it.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(6, 0.55 + rows * 4.6 / max(columns, 2)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for ax, (title, negative) in zip(axes.flat, panels.items(), strict=False):
        num_classes = len(negative)
        share = np.ma.masked_array(negative / negative.sum(), np.eye(num_classes, dtype=bool))
        norm = LogNorm(0.01 / num_classes**2, 10 / num_classes**2)
        image = ax.imshow(share, cmap="Greys", norm=norm)
        ends = (-0.5, num_classes - 0.5)
        ax.plot(ends, ends, color=BASELINE_COLOR, linewidth=0.6)
        ticks = _ticks(num_classes, 10 if columns < 3 else 4)
        ax.set(title=title, xticks=ticks, yticks=ticks)
        ax.tick_params(length=0, labelbottom=True)
        ax.spines[:].set_visible(False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("logit")
    for ax in axes[:, 0]:
        ax.set_ylabel("samples of class")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both", label="share of all push")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    return figure


def against_accuracy(
    panels: Mapping[str, np.ndarray], accuracy: np.ndarray
) -> tuple[Figure, dict[str, float]]:
    """Accuracy ``(seeds, C)`` in percent against measurements ``label: (C,)``.

    Points are means over the seeds, bars one standard deviation to either side. Also
    returns Spearman's rank correlation of each, which stands above its panel.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(6, 2.3), sharey=True, squeeze=False)
    mean, deviation = _percent(accuracy)
    correlations = {}
    for ax, (label, values) in zip(axes.flat, panels.items(), strict=True):
        correlations[label] = float(spearmanr(values, mean).statistic)
        ax.errorbar(values, mean, deviation, fmt="none", color="0.8", zorder=1)
        ax.scatter(values, mean, 20, rank_colors(len(values)), zorder=2)
        ax.set(xlabel=label, title=f"rank correlation {correlations[label]:.2f}", xscale="log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel("test accuracy, %")
    return figure, correlations


def accuracy_by_rank(
    ax: Axes, accuracy: np.ndarray, label: str, marker: str = "o", baseline: bool = False
) -> None:
    """Accuracy ``(seeds, C)`` in percent against class rank, grey for a baseline."""
    mean, deviation = _percent(accuracy)
    rank = np.arange(len(mean))
    ax.errorbar(rank, mean, deviation, color="0.75", linewidth=0.8, zorder=1)
    colors = BASELINE_COLOR if baseline else rank_colors(len(rank))
    ax.scatter(rank, mean, 20, colors, marker=marker, zorder=2, label=label)
    ax.set(xlabel="class rank", ylabel="accuracy, %", ylim=(0, 104))
    ax.set_xticks(_ticks(len(rank), 10))


def _percent(accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the seeds; the latter 0 for a single seed."""
    values = 100 * np.asarray(accuracy)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    return values.mean(axis=0), deviation


def _ticks(num_classes: int, at_most: int) -> np.ndarray:
    """Evenly spaced class ranks from 0."""
    return np.arange(0, num_classes, math.ceil(num_classes / at_most))
