"""Figures of losses that weight by difficulty: forces against g, and who holds them.

``g = 1 - p_y`` is how far a sample is from being right, 0 to 1. Functions draw on the
axes they are given; those that need several make the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lt_core.plotting import BASELINE_COLOR, DASHES, METHOD_COLOR, end_labels


def forces(
    g: np.ndarray, panels: Mapping[str, Mapping[str, np.ndarray]], baseline: str = "softmax"
) -> Figure:
    """A panel for each ``title: {label: force}``: force of a sample against its ``g``."""
    figure, axes = plt.subplots(1, len(panels), figsize=(6, 2.8), sharey=True, squeeze=False)
    for ax, (title, curves) in zip(axes.flat, panels.items(), strict=True):
        for label, dash, values in _styled(curves, baseline):
            color = BASELINE_COLOR if label == baseline else METHOD_COLOR
            ax.plot(g, values, color=color, linestyle=dash, label=label)
        ax.set(title=title, yscale="log", xlim=(0, 1), ylim=(1e-3, 60))
        ax.set_xlabel("g = 1 − p of the right class")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.legend(loc="lower right")
    axes[0, 0].set_ylabel("force of a sample")
    return figure


def over_steps(
    ax: Axes,
    steps: Sequence[int],
    curves: Mapping[str, np.ndarray],
    baseline: str = "softmax",
    scale: str = "linear",
) -> None:
    """A percentage ``(steps,)`` or ``(seeds, steps)`` against the step; bands are ±1 sd."""
    ends = {}
    for label, dash, values in _styled(curves, baseline):
        values = np.atleast_2d(values)
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        mean = values.mean(axis=0)
        if len(values) > 1:
            deviation = values.std(axis=0, ddof=1)
            band = {"color": color, "alpha": 0.18, "linewidth": 0}
            ax.fill_between(steps, mean - deviation, mean + deviation, **band)
        ax.plot(steps, mean, color=color, linestyle=dash)
        ends[label] = mean[-1]
    ax.set(xscale=scale, xlim=(steps[0], steps[-1]), ylim=(0, 100), xlabel="step")
    if scale == "log":
        ax.xaxis.set_major_formatter("{x:g}")
    end_labels(ax, steps[-1], ends)


def _styled(curves: Mapping[str, np.ndarray], baseline: str):
    """Label, dash and values of each curve; the baseline is solid, no other is."""
    dashes = cycle(DASHES[1:])
    for label, values in curves.items():
        yield label, "-" if label == baseline else next(dashes), np.asarray(values)
