"""Figures of class weights: what they are, and how long they matter.

Classes are in order of rank, head first. Functions draw on the axes they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes

from lt_core.losses.parameters import per_class
from lt_core.plotting import BASELINE_COLOR, DASHES, MARKERS, METHOD_COLOR, end_labels, rank_colors


def effective_numbers(
    ax: Axes, betas: Sequence[float], class_counts: Mapping[str, Sequence[int]]
) -> None:
    """Effective number against images for each of ``betas``, over the counts of data sets."""
    class_counts = {
        name: per_class(name, counts, minimum=0) for name, counts in class_counts.items()
    }
    images = np.geomspace(1, max(max(counts) for counts in class_counts.values()), 200)
    ax.plot(images, images, color=BASELINE_COLOR, linewidth=3, alpha=0.5)
    for beta, dash in zip(betas, cycle(DASHES), strict=False):
        number = -np.expm1(images * np.log(beta)) / (1 - beta)
        ax.plot(images, number, color=METHOD_COLOR, linestyle=dash)
        _beside(ax, f"β = {beta:g}", images[-1], number[-1])
    for row, (name, counts) in enumerate(class_counts.items()):
        height = np.full(len(counts), 0.5 / 2.2**row)
        ax.scatter(counts, height, color=rank_colors(len(counts)), s=6)
        _beside(ax, name, max(counts), height[0])
    ax.set(xscale="log", yscale="log", xlabel="images of the class", ylabel="effective number")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")


def factors_by_rank(ax: Axes, factors: Mapping[str, np.ndarray]) -> None:
    """Factor on the gradient of one image ``(C,)`` against class rank, for each label."""
    ax.axhline(1, color=BASELINE_COLOR)
    for marker, (label, values) in zip(cycle(MARKERS), factors.items(), strict=False):
        rank = np.arange(len(values))
        ax.plot(rank, values, color="0.8", linewidth=0.8, zorder=1)
        ax.scatter(rank, values, 20, rank_colors(len(values)), marker=marker, zorder=2)
        _beside(ax, label, rank[-1], values[-1])
    ax.annotate("softmax", (0, 1), (0, 4), textcoords="offset points", fontsize=7)
    ax.set(yscale="log", xlabel="class rank", ylabel="factor on an image's gradient", xticks=rank)
    ax.yaxis.set_major_formatter("{x:g}")


def boundaries(
    ax: Axes, boundary: np.ndarray, labels: Sequence[str], head: np.ndarray, tail: np.ndarray
) -> None:
    """Boundary ``(steps, K)`` in x, a line a label, over the images of two classes."""
    steps = np.arange(1, len(boundary) + 1)
    ax.axhspan(head.max(), tail.min(), color="0.95", zorder=0)
    for k, (label, dash) in enumerate(zip(labels, cycle(DASHES), strict=False)):
        ax.plot(steps, boundary[:, k], color=METHOD_COLOR, linestyle=dash)
        ax.annotate(label, (1, boundary[0, k]), (4, 5), textcoords="offset points", fontsize=7)
    for images, name, color in zip((head, tail), ("head", "tail"), rank_colors(2), strict=True):
        ax.scatter(np.full(len(images), 1.5 * len(steps)), images, 30, [color], marker="_")
        _beside(ax, name, 1.6 * len(steps), np.median(images))
    ax.set(xscale="log", xlim=(1, None), ylim=(-1.6, 1.6))
    ax.set(xlabel="step of gradient descent", ylabel="boundary, x")


def by_length(
    ax: Axes,
    lengths: Sequence[int],
    values: Mapping[str, np.ndarray],
    ylim: tuple[float, float],
    baseline: str = "softmax",
) -> None:
    """A measurement ``(lengths, seeds)`` for each label, against the epochs of a training.

    Means over the seeds, bars one standard deviation to either side.
    """
    ends = {}
    styles = zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (label, seeds), (marker, dash) in zip(values.items(), styles, strict=False):
        mean = seeds.mean(axis=1)
        deviation = seeds.std(axis=1, ddof=1) if seeds.shape[1] > 1 else None
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        line = {"color": color, "marker": marker, "linestyle": dash}
        ax.errorbar(lengths, mean, deviation, capsize=2, **line)
        ends[label] = mean[-1]
    ax.set(xscale="log", xlabel="epochs of training", ylim=ylim)
    ax.set_xticks(lengths, [str(length) for length in lengths])
    ax.minorticks_off()
    end_labels(ax, lengths[-1], ends)


def _beside(ax: Axes, label: str, x: float, y: float) -> None:
    ax.annotate(label, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=7)
