"""The first explorable: gradient norms counted in uniform and adaptive bins, over training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.special import expit, logit

from lt_core.errors import ConfigError
from lt_core.explorables.figure import Explorable, colors, names, png, rounded
from lt_core.losses.density import AdaptiveDensity, CategoryDensity, ExactDensity, UniformDensity
from lt_core.plotting import plain, rank_colors

#: Where curves are drawn: evenly spaced in the log-odds of g, as the page's axis.
GRID = expit(np.linspace(logit(1e-5), logit(0.999), 60))
#: g is a difference from 1 in floating point: nearer to 0 or 1 than this it says nothing.
SMALLEST, LARGEST = 1e-9, 1 - 1e-9
MOST_MARKS = 50  # remembered samples shown, evenly chosen by rank
BATCH = 128  # samples counted at a time


def bins(
    gradients: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    num_classes: int,
    class_ranks: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    number: int = 12,
    memory: int = 200,
    title: str | None = None,
    start: int | None = None,
) -> Explorable:
    r"""Watch the density of g = 1 - p_y under uniform and adaptive bins, for two classes.

    gradients: a moment of training each (an epoch, say), ``(N_t,)`` in [0, 1], in the order
    in which training met them; targets: their classes, ``(N_t,)``. The samples run through
    lt_core's own densities with ``number`` bins and a memory of ``memory`` samples of a
    category, and every moment leaves a frame for the classes of ``class_ranks``, by default
    the head 0 and the tail C - 1. labels: ``"epoch 1"`` and so on; class_names: two names;
    start: the moment shown first and in the fallback picture, the last by default.

    Each frame shows the bins, the exact density by GHM's definition (a window of width
    1 / number), and a reference: a kernel estimate on the log-odds of g from the last
    ``memory`` samples, which needs no bins (Gaussian, Silverman's width). The error is
    ``mean |log D - log D_ref|`` over those samples, in nats. GHM's window cannot be the
    reference: where samples crowd at 0 it is as coarse as a uniform bin.

    Raises :class:`~lt_core.errors.ConfigError` for arrays that do not match, values outside
    [0, 1], and classes without a sample in the first moment.
    """
    moments = _checked(gradients, targets, num_classes)
    class_ranks = (0, num_classes - 1) if class_ranks is None else tuple(class_ranks)
    if len(class_ranks) != 2 or not all(rank in range(num_classes) for rank in class_ranks):
        raise ConfigError(
            f"class_ranks: expected two classes from 0 to {num_classes - 1}, got {class_ranks}"
        )
    for rank in class_ranks:
        if not (moments[0][1] == rank).any():
            raise ConfigError(
                f"class_ranks: expected classes with samples in the first moment, class {rank} "
                "has none"
            )
    labels = names("labels", labels, [f"epoch {t + 1}" for t in range(len(moments))])
    default = [f"class {rank}" for rank in class_ranks]
    class_names = names("class_names", class_names, default)
    start = len(moments) - 1 if start is None else start
    if start not in range(len(moments)):
        raise ConfigError(f"start: expected a moment from 0 to {len(moments) - 1}, got {start!r}")
    frames = frames_of(moments, num_classes, class_ranks, number, memory)
    shades = colors(num_classes)
    data = {
        "label": "Density of gradient norms under uniform and adaptive bins, and the error of each",
        "colors": [shades[rank] for rank in class_ranks],
        "labels": labels,
        "names": class_names,
        "start": start,
        "grid": rounded(GRID),
        "frames": [
            [{key: rounded(value) for key, value in frame.items()} for frame in moment]
            for moment in frames
        ],
    }
    told = "; ".join(
        f"for {name} {frame['uniformError']:.2f} and {frame['adaptiveError']:.2f}"
        for name, frame in zip(class_names, frames[start], strict=True)
    )
    alt = (
        f"Density of gradient norms at {labels[start]} under {number} bins. Mean error of the log "
        f"density in nats, uniform and adaptive: {told}."
    )
    title = title or "Bins of equal width, bins of equal mass"
    picture = _picture(
        frames[start], class_names, [rank_colors(num_classes)[r] for r in class_ranks]
    )
    return Explorable("bins", title, data, picture, alt, ["bins.js"])


def frames_of(
    moments: Sequence[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    class_ranks: tuple[int, int],
    number: int,
    memory: int,
) -> list[list[dict]]:
    """What is shown: a list a moment, in it a frame a class, of arrays by name.

    ``uniformEdges``, ``adaptiveEdges`` ``(K + 1,)`` and ``uniform``, ``adaptive`` ``(K,)``,
    densities; ``exact``, ``reference`` on :data:`GRID`; ``samples``, some of those
    remembered; ``uniformError``, ``adaptiveError``, ``exactError``.
    """
    densities = {
        name: made(num_classes, number, memory, "none")
        for name, made in (
            ("uniform", UniformDensity),
            ("adaptive", AdaptiveDensity),
            ("exact", ExactDensity),
        )
    }
    shown = []
    for gradient, target in moments:
        gradient, target = torch.as_tensor(gradient), torch.as_tensor(target)
        for g, y in zip(gradient.split(BATCH), target.split(BATCH), strict=True):
            for density in densities.values():
                density(g, y, torch.ones(len(y), dtype=torch.bool), True)
        shown.append([_frame(densities, rank) for rank in class_ranks])
    return shown


def reference_density(samples: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kernel estimate of the density of g from ``samples``, evaluated ``at`` points in (0, 1).

    A Gaussian on the log-odds, where g is neither crowded nor cut off: 200 samples of the
    Beta mixtures that late training resembles put it within 0.2 nats of the truth, where
    12 uniform bins are 1.5 to 3 away.
    """
    samples = np.clip(samples, SMALLEST, LARGEST)
    odds, wanted = logit(samples), logit(at)
    spread = np.subtract(*np.quantile(odds, [0.75, 0.25])) / 1.34
    spread = min(odds.std(), spread) if spread > 0 else odds.std()
    width = max(0.9 * spread * len(odds) ** -0.2, 0.05)
    distance = (wanted[:, None] - odds) / width
    kernel = np.exp(-0.5 * distance**2) / (width * np.sqrt(2 * np.pi))
    return kernel.mean(axis=1) / (at * (1 - at))


def _frame(densities: dict[str, CategoryDensity], rank: int) -> dict:
    ring = densities["exact"].ring[rank].numpy()
    samples = np.clip(np.sort(ring[np.isfinite(ring)]), SMALLEST, LARGEST)
    reference = np.log(reference_density(samples, samples))
    frame = {
        "reference": reference_density(samples, GRID),
        "exact": _density(densities["exact"], GRID, rank),
        "samples": samples[np.unique(np.linspace(0, len(samples) - 1, MOST_MARKS).astype(int))],
    }
    for name, density in densities.items():
        away = np.log(_density(density, samples, rank)) - reference
        frame[name + "Error"] = np.abs(away).mean()
        if name != "exact":
            edges = density.edges()[rank].numpy()
            frame[name + "Edges"] = edges
            frame[name] = _density(density, (edges[:-1] + edges[1:]) / 2, rank)
    return frame


def _density(density: CategoryDensity, at: np.ndarray, rank: int) -> np.ndarray:
    """D of category ``rank`` at points in g; nothing is counted."""
    target = torch.full((len(at),), rank)
    counted = torch.ones(len(at), dtype=torch.bool)
    return 1 / density(torch.as_tensor(at), target, counted, False).numpy()


def _checked(
    gradients: Sequence[np.ndarray], targets: Sequence[np.ndarray], num_classes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of float64 and int64 arrays, a moment each."""
    if len(gradients) != len(targets) or not len(gradients):
        raise ConfigError(
            "gradients, targets: expected as many of one as of the other and at least one, got "
            f"{len(gradients)} and {len(targets)}"
        )
    moments = []
    for t, (gradient, target) in enumerate(zip(gradients, targets, strict=True)):
        g, y = np.array(gradient, dtype=np.float64), np.array(target)
        if g.ndim != 1 or g.shape != y.shape or not np.issubdtype(y.dtype, np.integer):
            raise ConfigError(
                f"gradients[{t}]: expected (N,) beside whole targets (N,), got {g.shape} beside "
                f"{y.dtype} of shape {y.shape}"
            )
        if not ((g >= 0) & (g <= 1)).all():
            raise ConfigError(f"gradients[{t}]: expected values of 1 - p_y in [0, 1]")
        if not ((y >= 0) & (y < num_classes)).all():
            raise ConfigError(f"targets[{t}]: expected classes from 0 to {num_classes - 1}")
        moments.append((g, y.astype(np.int64)))
    return moments


def _picture(frames: list[dict], class_names: Sequence[str], shades: Sequence) -> bytes:
    figure, axes = plt.subplots(
        2, 2, figsize=(6, 4), sharex=True, sharey=True, layout="constrained"
    )
    for row, frame, name, shade in zip(axes, frames, class_names, shades, strict=True):
        row[0].set_ylabel(f"{plain(name)}\ndensity", fontsize=8)
        for ax, kind in zip(row, ("uniform", "adaptive"), strict=True):
            _panel(ax, frame, kind, shade)
            ax.set_title(f"{kind} bins, error {frame[kind + 'Error']:.2f} nats", fontsize=8)
    highest = max(frame["reference"].max() for frame in frames)
    ticks = np.array([1e-4, 0.01, 0.5, 0.99])
    axes[0, 0].set(yscale="log", ylim=(0.02, 3 * highest), xlim=logit(GRID[[0, -1]]))
    axes[0, 0].set_xticks(logit(ticks), [f"{tick:g}" for tick in ticks])
    figure.supxlabel("g = 1 − p, stretched at both ends", fontsize=8)
    return png(figure)


def _panel(ax: Axes, frame: dict, kind: str, shade: np.ndarray) -> None:
    grid, edges = logit(GRID), logit(np.clip(frame[kind + "Edges"], SMALLEST, LARGEST))
    ax.fill_between(grid, 1e-9, frame["reference"], color="0.85", linewidth=0)
    ax.plot(grid, frame["exact"], ":", color="0.4", linewidth=1)
    ax.stairs(frame[kind], edges, baseline=1e-9, color=shade)
    ax.vlines(edges, 0.02, 0.04, color=shade, linewidth=0.8)
