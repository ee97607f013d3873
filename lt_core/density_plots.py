"""Figures of the density of gradient norms inside categories, and of what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lt_core.plotting import (
    BASELINE_COLOR,
    DASHES,
    MARKERS,
    METHOD_COLOR,
    plain,
    rank_colors,
)


def over_training(panels: Mapping[str, np.ndarray], ylabel: str, smallest: float = 0.1) -> Figure:
    """A panel a method: a value ``(epochs, C)`` of each class, on one log axis.

    Lines are coloured by class rank; those that fall below ``smallest`` leave the panel.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(6, 2.5), sharey=True, squeeze=False)
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        epoch = np.arange(1, len(values) + 1)
        for line, color in zip(values.T, rank_colors(values.shape[1]), strict=True):
            ax.plot(epoch, line, color=color)
        ax.set(title=plain(title), xlabel="epoch", yscale="log")
    highest = max(values.max() for values in panels.values())
    axes[0, 0].set(ylabel=ylabel, ylim=(smallest, 2 * highest))
    axes[0, 0].yaxis.set_major_formatter("{x:g}")
    return figure


def against(ax: Axes, x: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    """A line a label over ``x``, named at its end; log axes are left to the caller."""
    styles = zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (label, values), (marker, dash) in zip(curves.items(), styles, strict=False):
        ax.plot(x, values, marker=marker, linestyle=dash, color=METHOD_COLOR, markersize=3)
        ax.annotate(
            plain(label),
            (x[-1], values[-1]),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=plt.rcParams["legend.fontsize"],
            annotation_clip=False,
        )


def kept_by_rank(
    ax: Axes,
    kept: Mapping[str, np.ndarray],
    expected: tuple[str, np.ndarray],
    baseline: str = "softmax",
) -> None:
    """Gradient that an image keeps, by class rank ``(C,)``, a line a label, on a log axis.

    ``expected``: a label and values ``(C,)`` drawn as crosses. The baseline is grey.
    """
    rank = np.arange(len(expected[1]))
    styles = zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (label, values), (marker, dash) in zip(kept.items(), styles, strict=False):
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        ax.plot(rank, values, marker=marker, linestyle=dash, color=color, label=plain(label))
    label, values = expected
    ax.plot(rank, values, "x", color=METHOD_COLOR, markersize=7, label=plain(label))
    ax.set(yscale="log", xlabel="class rank", ylabel="gradient an image keeps")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="lower right")
