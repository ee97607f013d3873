"""Every repeated figure, in one style.

Colour means class rank only: dark blue for the head, towards yellow for the tail.
Methods differ by marker, dash and a label at the line's end; the baseline is grey.
Functions draw on the axes they are given; those that need several make the figure.
Accuracy comes as a fraction and is shown in percent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.optimize import isotonic_regression

from lt_core.parameters import per_class
from lt_core.training.metrics import groups

BASELINE_COLOR, METHOD_COLOR = "0.62", "0.15"
MARKERS = "osD^vP<X>*hp"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)), (0, (7, 2, 1, 2, 1, 2)))
#: Lines and points stop here on cividis, to keep a contrast of 3:1 on white.
LIGHTEST = 0.6


def style() -> None:
    """Use the book's style for every figure from here on."""
    with resources.as_file(resources.files("lt_core") / "lt_core.mplstyle") as path:
        plt.style.use(path)


def rank_colors(num_classes: int, lightest: float = LIGHTEST) -> np.ndarray:
    """A colour a class rank, ``(C, 4)``, head first. Dark-edged bars may take .9."""
    return plt.get_cmap("cividis")(np.linspace(0, lightest, num_classes))


def plain(text: object, longest: int = 40) -> str:
    """Text that a figure shows as it is: no formula, only characters its font has."""
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    shown = "".join(c if c.isprintable() and ord(c) in known else "?" for c in str(text))
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return shown.replace("$", r"\$")


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Positions moved as little as can be so that all lie ``gap`` apart in ``[low, high]``.

    Least squares under that constraint is an isotonic regression. Where the range is
    too small for all, the gap shrinks to what fits.
    """
    positions = np.asarray(positions, dtype=float)
    if len(positions) < 2:
        return np.clip(positions, low, high)
    gap = min(gap, (high - low) / (len(positions) - 1))
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(len(positions))
    fitted = isotonic_regression(positions[order] - steps).x
    moved = np.empty_like(positions)
    moved[order] = np.clip(fitted, low, high - steps[-1]) + steps
    return moved


def end_labels(ax: Axes, x: float, heights: Mapping[str, float]) -> None:
    """A label right of ``x`` for each line that ends at its height, moved apart to be read."""
    low, high = ax.get_ylim()
    inches = ax.get_position().height * ax.figure.get_figheight()
    gap = (high - low) * 1.25 * plt.rcParams["legend.fontsize"] / 72 / inches
    places = spread(list(heights.values()), gap, low, high)
    for (label, height), place in zip(heights.items(), places, strict=True):
        ax.annotate(
            plain(label),
            (x, height),
            (1.03, place),
            textcoords=ax.get_yaxis_transform(),
            va="center",
            fontsize=plt.rcParams["legend.fontsize"],
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.5, "shrinkB": 2},
            annotation_clip=False,
        )


def class_profile(ax: Axes, class_counts: Sequence[int], small: bool = False) -> None:
    """Training images a class by rank, on a log axis, with the groups named.

    Each name stands over the middle of its ranks; in a ``small`` panel, where neighbours
    would touch, at alternating heights.
    """
    counts = np.sort(per_class("class_counts", class_counts, minimum=0))[::-1]
    rank = np.arange(len(counts))
    ax.plot(rank, counts, ":", color=BASELINE_COLOR, linewidth=1)
    ax.scatter(rank, counts, color=rank_colors(len(counts)), s=8 if len(counts) < 50 else 2)
    ax.set(yscale="log", xlabel="class rank", ylabel="training images")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(min(0.7, 0.7 * counts[-1]), counts[0] * (12 if small else 4))
    ax.set_xlim(*_rank_limits(counts, 0.16 if small else 0.05))
    for number, (name, first, last) in enumerate(_group_ranges(counts)):
        height = counts[0] * (2.2 if number % 2 == 0 or not small else 6)
        at = {"ha": "center", "va": "center", "fontsize": 5.5 if small else 7}
        ax.text((first + last) / 2, height, name, **at)
    _borders(ax, counts)


def accuracy_by_class_rank(
    curves: Mapping[str, np.ndarray],
    class_counts: Sequence[int],
    baseline: str = "softmax",
    note: str = "",
) -> Figure:
    """A panel a method: accuracy ``(seeds, C)`` against class rank, the baseline in grey.

    Bands are ±1 standard deviation over the seeds. The first panel shows the training
    images, the second says what is drawn, under ``note`` (say, data and epochs). Beyond
    50 classes a point is the mean of neighbouring ranks.
    """
    counts = np.array(per_class("class_counts", class_counts, minimum=0))
    order = np.argsort(-counts, kind="stable")
    others = [label for label in curves if label != baseline]
    rows = math.ceil((len(others) + 2) / 5)
    columns = math.ceil((len(others) + 2) / rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6, 0.4 + 1.35 * rows), squeeze=False, sharex=True
    )
    for ax in axes.flat[1 : axes.size - len(others)]:
        ax.set_axis_off()
    panels = axes.flat[axes.size - len(others) :]
    grey = _by_rank(curves[baseline], order) if baseline in curves else None
    for label, ax in zip(others, panels, strict=True):
        if grey is not None:
            ax.plot(grey[0], grey[1], color=BASELINE_COLOR)
        rank, mean, deviation = _by_rank(curves[label], order)
        ax.fill_between(rank, mean - deviation, mean + deviation, color="0.9", linewidth=0)
        ax.plot(rank, mean, color="0.4", linewidth=0.6)
        ax.scatter(rank, mean, color=rank_colors(len(rank)), s=9, zorder=3)
        ax.set_title(plain(label, 20), fontsize=7)
        ax.set(ylim=(-3, 104), yticks=(0, 50, 100))
        ax.tick_params(labelleft=False)
        _borders(ax, counts[order])
    class_profile(axes[0, 0], counts, small=True)
    axes[0, 0].set(ylabel="images", xlabel="")
    axes[0, 0].set_title("training images", fontsize=7)
    starts = axes[1:, 0] if rows > 1 else panels[:1]  # where the scale is written
    for ax in starts:
        ax.tick_params(labelleft=True)
        ax.set_ylabel("accuracy, %")
    for ax in axes[-1]:
        ax.set_xlabel("class rank")
    seeds = {len(np.atleast_2d(values)) for values in curves.values()}
    key = axes[0, 1].legend(
        *_what_is_drawn(baseline if grey is not None else "", max(seeds, default=1)),
        title=note,
        title_fontsize=6.5,
        fontsize=6.5,
        alignment="left",
        loc="center left",
        borderaxespad=0,
        handlelength=1.6,
    )
    key.set_in_layout(rows == 1)  # else its column would be wider than the others
    return figure


def group_accuracy(ax: Axes, cells: pd.DataFrame) -> None:
    """Accuracy of many, medium and few, a row a method, the overall accuracy as a bar."""
    cells = cells[cells["n"] > 0]
    names = [name for name in ("many", "medium", "few") if cells[name].notna().any()]
    y = np.arange(len(cells))
    ax.hlines(y, cells[names].min(axis=1), cells[names].max(axis=1), color="0.85", linewidth=3)
    colors = rank_colors(3)[["many", "medium", "few"].index(names[0]) :] if names else []
    for name, color, marker in zip(names, colors, "osD", strict=False):
        ax.scatter(cells[name], y, color=color, marker=marker, s=16, zorder=3, label=name)
    ax.scatter(cells["mean"], y, color="0.15", marker="|", s=60, zorder=4, label="all classes")
    _method_rows(ax, cells)
    ax.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)


def dumbbell(ax: Axes, cells: pd.DataFrame) -> None:
    """Paper (open) against ours (filled), with the 95 % prediction interval of one run."""
    cells = cells[(cells["n"] > 0) & cells["paper"].notna()]
    y = np.arange(len(cells))
    ax.hlines(y, cells["low"], cells["high"], color="0.88", linewidth=6, label="95 % of new runs")
    ax.hlines(y, cells["paper"], cells["mean"], color=BASELINE_COLOR)
    ax.scatter(cells["paper"], y, facecolor="white", edgecolor="0.15", zorder=3, label="paper")
    ax.scatter(cells["mean"], y, color="0.15", zorder=4, s=14, label="ours")
    _method_rows(ax, cells)
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)


def dumbbells(cells: pd.DataFrame) -> Figure | None:
    """A panel of :func:`dumbbell` for each factor; None where nothing may be compared."""
    cells = cells[(cells["n"] > 0) & cells["paper"].notna()]
    parts = list(cells.groupby("imbalance_factor", sort=False))
    if not parts:
        return None
    heights = [0.5 + 0.22 * len(part) for _, part in parts]
    figure, axes = plt.subplots(
        len(parts), figsize=(6, sum(heights)), squeeze=False, height_ratios=heights, sharex=True
    )
    for ax, (factor, part) in zip(axes[:, 0], parts, strict=True):
        dumbbell(ax, part)
        ax.set_title(f"factor {factor:g}", loc="right")
        ax.label_outer()
        if ax is not axes[0, 0]:
            ax.get_legend().remove()
    return figure


def training_curves(
    ax: Axes,
    histories: Mapping[str, Sequence[pd.DataFrame]],
    column: str = "top1",
    baseline: str = "softmax",
) -> None:
    """``column`` of the histories against the epoch: the mean of the seeds.

    Up to three lines come with bands of ±1 standard deviation.
    """
    styles = itertools.cycle(zip(MARKERS, DASHES * 3, strict=False))
    ends, last = {}, 1
    for label, runs in histories.items():
        values = np.stack([run[column].to_numpy(float) for run in runs])
        epochs, mean = runs[0]["epoch"].to_numpy(), values.mean(axis=0)
        marker, dash = (None, "-") if label == baseline else next(styles)
        color = BASELINE_COLOR if label == baseline else METHOD_COLOR
        if len(values) > 1 and len(histories) <= 3:
            deviation = values.std(axis=0, ddof=1)
            ax.fill_between(epochs, mean - deviation, mean + deviation, color="0.92", linewidth=0)
        every = max(1, len(epochs) // 6)
        ax.plot(epochs, mean, color=color, linestyle=dash, marker=marker, markevery=every)
        ends[label], last = mean[-1], max(last, epochs[-1])
    ax.set(xlabel="epoch", ylabel={"top1": "test accuracy, %"}.get(column, column), xlim=(0, last))
    end_labels(ax, last, ends)


def _method_rows(ax: Axes, cells: pd.DataFrame) -> None:
    labels = [plain(label) for label in cells["method"]]
    ax.set(yticks=np.arange(len(cells)), yticklabels=labels, xlabel="accuracy, %")
    ax.set_ylim(len(cells) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _by_rank(accuracy: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rank, mean and standard deviation in percent; neighbours joined beyond 50 classes."""
    values = 100 * np.atleast_2d(accuracy)[:, order]
    parts = np.array_split(np.arange(len(order)), min(len(order), 50))
    values = np.stack([np.nanmean(values[:, part], axis=1) for part in parts], axis=1)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(parts))
    return np.array([part.mean() for part in parts]), values.mean(axis=0), deviation


def _group_ranges(counts: np.ndarray) -> list[tuple[str, int, int]]:
    """Name, first and last rank of each group that has a class; counts head first."""
    ranks = [(name, np.flatnonzero(members)) for name, members in groups(counts).items()]
    return [(name, found[0], found[-1]) for name, found in ranks if len(found)]


def _rank_limits(counts: np.ndarray, room: float) -> tuple[float, float]:
    """All ranks, and at each end half a group's name, ``room`` as a share of the ranks."""
    names = [(first + last) / 2 for _, first, last in _group_ranges(counts)]
    margin, room = 0.5 + 0.02 * len(counts), room * len(counts)
    last = len(counts) - 1 + margin
    return min(-margin, names[0] - room), max(last, names[-1] + room)


def _what_is_drawn(baseline: str, seeds: int) -> tuple[list, list[str]]:
    """Handles and labels: the baseline's line, a method's points, their band."""
    drawn = [Line2D([], [], color="0.4", marker="o", markersize=3, linewidth=0.6)]
    labels = [f"mean of {seeds} seeds" if seeds > 1 else "one seed"]
    if baseline:
        drawn.insert(0, Line2D([], [], color=BASELINE_COLOR))
        labels.insert(0, plain(baseline, 16))
    if seeds > 1:
        drawn.append(Patch(color="0.9"))
        labels.append("± 1 sd")
    return drawn, labels


def _borders(ax: Axes, counts: np.ndarray) -> None:
    for _, first, _ in _group_ranges(counts)[1:]:
        ax.axvline(first - 0.5, color="0.85", linewidth=0.6, zorder=0)
