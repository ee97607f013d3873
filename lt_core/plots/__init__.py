"""Figures in one style, for the pages and for a user's own results.

Colour means class rank only: dark blue for the head, a yellowish grey for the tail. Methods
differ by marker, dash and a label at the line's end; the baseline is orange, as no rank
is. Functions draw on the axes they are given; those that need several make the figure.

    plots.style()
    plots.lines(ax, epochs, {"softmax": ours, "icb": theirs}, xlabel="epoch")

Figures with sliders are in :mod:`lt_core.plots.explorables`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lt_core.plots.styling import (
    BASELINE_COLOR,
    DASHES,
    MARKERS,
    METHOD_COLOR,
    end_labels,
    label_rows,
    plain,
    rank_colors,
    style,
)
from lt_core.tables.rendering import place
from lt_core.training.metrics import groups

__all__ = ["BASELINE_COLOR", "DASHES", "MARKERS", "METHOD_COLOR", "end_labels", "label_rows"]
__all__ += ["accuracy_by_class_rank", "class_profile", "coverage", "difference_intervals"]
__all__ += ["dumbbells", "ranked_differences"]
__all__ += ["lines", "plain", "points_by_rank", "push_matrices"]
__all__ += ["rank_colors", "shares_against_prior", "style"]


def lines(
    ax: Axes,
    x: Sequence[float],
    curves: Mapping[str, np.ndarray],
    *,
    baseline: str = "softmax",
    spread: str = "band",
    **axes: object,
) -> None:
    """Draw a line for each ``label: values`` over ``x`` and name it at its right end.

    values ``(n,)``, or ``(runs, n)``: the mean over the runs, with one standard deviation
    to either side as a ``spread`` of ``"band"`` or ``"bars"``, or without for ``""``.
    ``axes`` is what ``ax.set`` takes; ``xticks`` are labelled with their numbers.
    """
    ends, looks = {}, zip(cycle(MARKERS), cycle(DASHES), strict=False)
    for (label, values), (marker, dash) in zip(curves.items(), looks, strict=False):
        mean, deviation = _over_runs(values)
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        if spread == "bars" and deviation.any():
            ax.errorbar(x, mean, deviation, fmt="none", ecolor=color, elinewidth=0.8, capsize=2)
        elif spread and deviation.any():
            band = {"color": color, "alpha": 0.15, "linewidth": 0}
            ax.fill_between(x, mean - deviation, mean + deviation, **band)
        look = {"color": color, "linestyle": dash, "marker": marker}
        ax.plot(x, mean, markevery=max(1, len(mean) // 6), clip_on=False, **look)
        ends[label] = mean[-1]
    ax.set(**axes)
    if "xticks" in axes:
        ax.set_xticks(axes["xticks"], axes.get("xticklabels", [f"{x:g}" for x in axes["xticks"]]))
        ax.minorticks_off()
    end_labels(ax, x[-1], ends)


def class_profile(ax: Axes, class_counts: Sequence[int], small: bool = False) -> None:
    """Training images per class by rank, on a log axis, with the groups named.

    Each name stands over the middle of its ranks; in a ``small`` panel, where neighbours
    would touch, at alternating heights.
    """
    counts = np.sort(np.asarray(class_counts))[::-1]
    rank = np.arange(len(counts))
    ax.plot(rank, counts, ":", color="0.62", linewidth=1)
    ax.scatter(rank, counts, color=rank_colors(len(counts)), s=8 if len(counts) < 50 else 2)
    ax.set(yscale="log", xlabel="class rank", ylabel="training images")
    lowest, used = min(0.7, 0.7 * counts[-1]), 0.54 if small else 0.85  # names above
    ax.set_ylim(lowest, lowest * (counts[0] / lowest) ** (1 / used))
    middles = []
    for number, (name, first, last) in enumerate(_group_ranges(counts)):
        height = (0.69, 0.91)[number % 2] if small else 0.93  # of the axes
        at = {
            "ha": "center",
            "va": "center",
            "fontsize": 8.5,
            "transform": ax.get_xaxis_transform(),
        }
        at["bbox"] = {"facecolor": "white", "linewidth": 0, "pad": 0.5}  # over the borders
        ax.text((first + last) / 2, height, name, **at)
        middles.append((first + last) / 2)
    _group_borders(ax, counts)
    # All ranks, and at each end half a group's name.
    margin, room = 0.5 + 0.02 * len(counts), (0.3 if small else 0.06) * len(counts)
    ax.set_xlim(min(-margin, middles[0] - room), max(len(counts) - 1 + margin, middles[-1] + room))


def points_by_rank(
    ax: Axes,
    values: np.ndarray,
    label: str | None = None,
    *,
    marker: str = "o",
    filled: bool = True,
    **axes: object,
) -> None:
    """Values ``(C,)`` or ``(runs, C)`` against class rank, in the colours of the ranks.

    Points are means over the runs, bars one standard deviation to either side. ``axes`` is
    what ``ax.set`` takes.
    """
    mean, deviation = _over_runs(values)
    rank, colors = np.arange(len(mean)), rank_colors(len(mean))
    ax.errorbar(rank, mean, deviation, color="0.65", linewidth=0.8, zorder=1)
    face = {"facecolor": colors if filled else "white", "edgecolor": colors}
    ax.scatter(rank, mean, 20, marker=marker, label=label, zorder=2, **face)
    ax.set(xlabel="class rank", xticks=_few_ranks(len(rank), 10), **axes)


def accuracy_by_class_rank(
    curves: Mapping[str, np.ndarray],
    class_counts: Sequence[int],
    baseline: str = "softmax",
    note: str = "",
) -> Figure:
    """A panel for each method: accuracy ``(seeds, C)`` against class rank, and the baseline.

    Bands are ±1 standard deviation over the seeds. The first panel shows the training
    images, the second says what is drawn, under ``note`` (say, data and epochs). Beyond
    50 classes a point is the mean of neighbouring ranks.
    """
    counts = np.asarray(class_counts)
    order = np.argsort(-counts, kind="stable")
    others = [label for label in curves if label != baseline]
    rows = math.ceil((len(others) + 2) / 3)
    columns = math.ceil((len(others) + 2) / rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.5, 0.4 + 1.4 * rows), squeeze=False, sharex=True
    )
    panels, heads = axes.flat[2 : 2 + len(others)], []
    for ax in (axes.flat[1], *axes.flat[2 + len(others) :]):
        ax.set_axis_off()
    for label, ax in zip(others, panels, strict=True):
        if baseline in curves:
            rank, mean, _ = _by_rank(curves[baseline], order)
            ax.plot(rank, mean, color=BASELINE_COLOR, linewidth=1)
        rank, mean, deviation = _by_rank(curves[label], order)
        ax.fill_between(rank, mean - deviation, mean + deviation, color="0.8", linewidth=0)
        ax.plot(rank, mean, color="0.4", linewidth=0.6)
        ax.scatter(rank, mean, color=rank_colors(len(rank)), s=9, zorder=3)
        heads.append(ax.set_title(plain(label, 24).replace("+", "\n+"), fontsize=8.5))
        ax.set(ylim=(-3, 104), yticks=(0, 50, 100))
        ax.tick_params(labelleft=False)
        _group_borders(ax, counts[order])
    class_profile(axes[0, 0], counts, small=True)
    axes[0, 0].set(ylabel="images", xlabel="")
    axes[0, 0].set_title("training images", fontsize=8.5)
    scaled = axes[1:, 0] if rows > 1 else panels[:1]  # the first panel of each row
    for ax in scaled:
        ax.tick_params(labelleft=True)
        ax.set_ylabel("accuracy, %")
    if columns > 2:  # beside the training images, whose scale is not its own
        axes[0, 2].tick_params(labelleft=True, pad=1)
    for ax in panels[-columns:]:  # the lowest of each column
        ax.set_xlabel("class rank")
        ax.tick_params(labelbottom=True)
        ax.xaxis.get_major_locator().set_params(integer=True)
    seeds = sorted({len(np.atleast_2d(values)) for values in curves.values()}) or [1]
    mean_of = "one seed" if seeds[-1] == 1 else f"mean of {' or '.join(map(str, seeds))} seeds"
    points = Line2D([], [], color="0.4", marker="o", markersize=3, linewidth=0.6)
    drawn = {mean_of: points}
    if baseline in curves:
        drawn = {plain(baseline, 16): Line2D([], [], color=BASELINE_COLOR), **drawn}
    if seeds[-1] > 1:
        drawn["± 1 sd"] = Patch(color="0.8")
    at = {"loc": "center left", "bbox_to_anchor": (-0.03, 0.5), "borderaxespad": 0}
    narrow = {"handlelength": 1.1, "handletextpad": 0.5, "borderpad": 0, "alignment": "left"}
    key = axes[0, 1].legend(drawn.values(), drawn.keys(), title=note, **at, **narrow)
    key.set_in_layout(rows == 1)  # else its column would be wider than the others
    figure.get_layout_engine().set(w_pad=0.015)
    figure.draw_without_rendering()
    for ax, head in zip(panels, heads, strict=True):
        room = ax.get_window_extent().width / max(head.get_window_extent().width, 1)
        head.set_fontsize(8.5 * min(1, room))  # no wider than its panel
    return figure


def dumbbells(cells: pd.DataFrame) -> Figure | None:
    """Paper (open) against ours (filled), a panel for each factor; None if nothing compares.

    Grey bars are the 95 % prediction interval of one new run, which a cell has that was run
    more than once; the title counts the published values inside.
    """
    cells = cells[(cells["n"] > 1) & cells["paper"].notna()]
    parts = list(cells.groupby("imbalance_factor", sort=False))
    if not parts:
        return None
    heights = [0.75 + 0.22 * len(part) for _, part in parts]
    figure, axes = plt.subplots(
        len(parts), figsize=(4.5, sum(heights)), squeeze=False, height_ratios=heights, sharex=True
    )
    for ax, (_, part) in zip(axes[:, 0], parts, strict=True):
        y = np.arange(len(part))
        ax.hlines(y, part["low"], part["high"], color="0.8", linewidth=6, label="95 % of new runs")
        ax.hlines(y, part["paper"], part["mean"], color="0.62")
        open_ = {"facecolor": "white", "edgecolor": METHOD_COLOR}
        ax.scatter(part["paper"], y, zorder=3, label="paper", **open_)
        ax.scatter(part["mean"], y, 14, METHOD_COLOR, zorder=4, label="ours")
        label_rows(ax, part["method"])
        ax.set_xlabel("accuracy, %")
        ax.set_title(place(part), loc="right")
        ax.label_outer()
    narrow = {"handlelength": 1, "columnspacing": 1, "borderpad": 0}
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), ncols=3, loc="outside lower left", **narrow
    )
    inside = cells["paper"].between(cells["low"], cells["high"]).sum()
    figure.suptitle(f"{inside} of {len(cells)} published values agree with ours", fontsize=9)
    return figure


def difference_intervals(ax: Axes, table: pd.DataFrame, baseline: str) -> None:
    """Differences from ``baseline`` in points with their intervals, a row for each index.

    Columns ``difference``, ``low`` and ``high``, as ``statistics.compare_methods`` returns.
    """
    y = np.arange(len(table))
    ax.axvline(0, color=BASELINE_COLOR, linewidth=0.8)
    ax.hlines(y, table["low"], table["high"], color="0.62", linewidth=2)
    ax.scatter(table["difference"], y, 16, METHOD_COLOR, zorder=3)
    label_rows(ax, table.index)
    ax.set_xlabel(f"accuracy minus that of {baseline}, points")


def ranked_differences(panels: Mapping[str, pd.DataFrame], baseline: str) -> Figure | None:
    """A panel of :func:`difference_intervals` for each ``title: table``; None without any.

    Below a panel's title stands how many of its intervals lie above 0.
    """
    if not panels:
        return None
    heights = [0.95 + 0.19 * len(table) for table in panels.values()]
    figure, axes = plt.subplots(
        len(panels), figsize=(4.5, sum(heights)), squeeze=False, height_ratios=heights, sharex=True
    )
    for ax, (title, table) in zip(axes[:, 0], panels.items(), strict=True):
        difference_intervals(ax, table, baseline)
        above = f"{(table['low'] > 0).sum()} of {len(table)} intervals above {baseline}"
        ax.set_title(f"{plain(title)}\n{above}, each for itself")
        ax.label_outer()
    return figure


def coverage(counts: pd.DataFrame) -> Figure:
    """A bar for each row of ``counts``, divided into its columns, of which the last is palest.

    As :func:`lt_core.tables.covered` counts what was run in full, reduced and not at all.
    """
    figure, ax = plt.subplots(figsize=(4.5, 0.8 + 0.2 * len(counts)))  # fits a phone
    left = np.zeros(len(counts))
    for what, shade in zip(counts, np.linspace(0.15, 0.85, counts.shape[1]), strict=True):
        values = counts[what].to_numpy(float)
        ax.barh(
            np.arange(len(counts)),
            values,
            left=left,
            color=str(shade),
            edgecolor="0.62",
            linewidth=0.4,
            label=what,
        )
        left += values
    label_rows(ax, counts.index)
    first, total = counts.iloc[:, 0].sum(), counts.to_numpy().sum()
    ax.set_title(f"{first:g} of {total:g} cells {counts.columns[0]}", pad=20)
    ax.set_xlabel("cells of the table")
    ax.xaxis.get_major_locator().set_params(integer=True)
    narrow = {"handlelength": 1, "columnspacing": 1, "borderpad": 0}
    ax.legend(ncols=counts.shape[1], loc="lower left", bbox_to_anchor=(0, 1), **narrow)
    return figure


def push_matrices(panels: Mapping[str, np.ndarray], columns: int = 3) -> Figure:
    """A panel for each ``title: negative``, ``(C, C)``: dark where the push is strong.

    Rows are the class of the samples, columns the logit. Entries are shares of their
    panel's total on a logarithmic scale around ``1 / C**2`` that depends on nothing else, so
    that panels can be compared. Grey, because colour means class rank; a sample does not
    push its own logit, so the diagonal is empty and a line marks it.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (6, 0.55 + rows * 4.6 / max(columns, 2))
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for ax, (title, negative) in zip(axes.flat, panels.items(), strict=False):
        num_classes = len(negative)
        share = np.ma.masked_array(negative / negative.sum(), np.eye(num_classes, dtype=bool))
        norm = LogNorm(0.01 / num_classes**2, 10 / num_classes**2)
        image = ax.imshow(share, cmap="Greys", norm=norm)
        ends = (-0.5, num_classes - 0.5)
        ax.plot(ends, ends, color="0.62", linewidth=0.6)
        ticks = _few_ranks(num_classes, 10 if columns < 3 else 4)
        ax.set(title=plain(title), xticks=ticks, yticks=ticks)
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


def shares_against_prior(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], ylabel: str
) -> Figure:
    """A panel for each ``title: (prior, share)``, both ``(C,)``, with a fitted power."""
    size = (4.4, 2.6)  # fits a phone
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for ax, (title, (prior, share)) in zip(axes.flat, panels.items(), strict=True):
        power = np.polyfit(np.log(prior), np.log(share), 1)
        ax.plot(prior, prior, ":", color="0.62", label="prior itself")
        ax.plot(prior, np.exp(np.polyval(power, np.log(prior))), color="0.4", label="fitted")
        ax.scatter(prior, share, 20, rank_colors(len(prior)), zorder=3)
        ax.set(title=plain(title), xscale="log", yscale="log", xlabel="prior")
    axes[0, 0].set_ylabel(ylabel)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _over_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the runs; the latter 0 for a single run."""
    runs = np.atleast_2d(np.asarray(values, dtype=float))
    mean = runs.mean(axis=0)
    return mean, runs.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros_like(mean)


def _by_rank(accuracy: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rank, mean and standard deviation in percent; neighbours joined beyond 50 classes."""
    values = 100 * np.atleast_2d(accuracy)[:, order]
    parts = np.array_split(np.arange(len(order)), min(len(order), 50))
    joined = np.stack([np.nanmean(values[:, part], axis=1) for part in parts], axis=1)
    return np.array([part.mean() for part in parts]), *_over_runs(joined)


def _group_ranges(counts: np.ndarray) -> list[tuple[str, int, int]]:
    """Name, first and last rank of each group that has a class; counts head first."""
    ranks = [(name, np.flatnonzero(members)) for name, members in groups(counts).items()]
    return [(name, found[0], found[-1]) for name, found in ranks if len(found)]


def _group_borders(ax: Axes, counts: np.ndarray) -> None:
    for _, first, _ in _group_ranges(counts)[1:]:
        ax.axvline(first - 0.5, color="0.7", linewidth=0.6, zorder=0)


def _few_ranks(num_classes: int, at_most: int) -> np.ndarray:
    """Evenly spaced class ranks from 0."""
    return np.arange(0, num_classes, math.ceil(num_classes / at_most))
