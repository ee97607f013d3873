"""The first explorable: gradient norms counted in equal and adaptive bins, over training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.special import expit, logit

from lt_core.errors import ConfigError
from lt_core.losses.density import AdaptiveDensity, CategoryDensity, ExactDensity, UniformDensity
from lt_core.plots.explorables.figure import Explorable, colors, names, rounded
from lt_core.plots.styling import plain, rank_colors

#: Where curves are drawn: evenly spaced in the log-odds of g, as the page's axis.
GRID = expit(np.linspace(logit(1e-5), logit(0.999), 60))
#: g is a difference from 1 in floating point: nearer to 0 or 1 than this it says nothing.
SMALLEST, LARGEST = 1e-9, 1 - 1e-9
MOST_MARKS = 50  # remembered samples shown, evenly chosen by rank
BATCH = 128  # samples counted at a time


def density_bins(
    gradients: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    num_classes: int,
    class_ranks: tuple[int, int],
    class_names: Sequence[str] | None = None,
    number: int = 12,
    memory: int = 200,
) -> Explorable:
    r"""Watch the density of g = 1 - p_y under equal and adaptive bins, for two classes.

    gradients: one array per epoch, ``(N_t,)`` in [0, 1], in the order in which training met
    them; targets: their classes, ``(N_t,)``. The samples run through lt_core's own densities
    with ``number`` bins and a memory of ``memory`` samples of a category, and every epoch
    leaves a frame for the two classes of ``class_ranks``, which ``class_names`` name.

    Each frame shows the bins, the exact density by GHM's definition (a window of width
    1 / number), and a reference: a kernel estimate on the log-odds of g from the last
    ``memory`` samples, which needs no bins (Gaussian, Silverman's width). The error is
    ``mean |log D - log D_ref|`` over those samples, in nats. GHM's window cannot be the
    reference: where samples crowd at 0 it is as coarse as an equal bin.

    Raises :class:`~lt_core.errors.ConfigError` for arrays that do not match, values outside
    [0, 1], and classes without a sample in the first epoch.
    """
    moments = _checked(gradients, targets, num_classes)
    met = np.unique(moments[0][1]).tolist()
    if len(class_ranks) != 2 or not set(class_ranks) <= set(met):
        raise ConfigError(
            f"class_ranks: expected two classes with samples in the first epoch, got "
            f"{class_ranks}; those with samples are {met}"
        )
    class_names = names("class_names", class_names, [f"class {rank}" for rank in class_ranks])
    frames = density_frames(moments, num_classes, class_ranks, number, memory)
    data = {
        "label": "Density of difficulty under equal and adaptive bins, and the error of each",
        "colors": [colors(num_classes)[rank] for rank in class_ranks],
        "labels": [f"epoch {t + 1}" for t in range(len(moments))],
        "names": class_names,
        "start": len(moments) - 1,
        "grid": rounded(GRID),
        "frames": [
            [{key: rounded(value) for key, value in frame.items()} for frame in moment]
            for moment in frames
        ],
    }
    told = "; ".join(
        f"for {name} {frame['uniformError']:.2f} and {frame['adaptiveError']:.2f}"
        for name, frame in zip(class_names, frames[-1], strict=True)
    )
    alt = (
        f"Density of difficulty at epoch {len(moments)} under {number} bins. Mean error of "
        f"the log density in nats, equal and adaptive: {told}."
    )
    picture = _picture(frames[-1], class_names, rank_colors(num_classes)[list(class_ranks)])
    title = "Equal and adaptive bins over training"
    return Explorable("bins", title, data, picture, alt, ["bins.js"])


def density_frames(
    moments: Sequence[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    class_ranks: tuple[int, int],
    number: int,
    memory: int,
) -> list[list[dict]]:
    """What is shown: a list per moment ``(g, target)``, in it a dict of arrays per class.

    ``uniformEdges``, ``adaptiveEdges`` ``(K + 1,)`` and ``uniform``, ``adaptive`` ``(K,)``,
    densities; ``exact``, ``reference`` on :data:`GRID`; ``samples``, some of those
    remembered; ``uniformError``, ``adaptiveError``, ``exactError``.
    """
    kinds = {"uniform": UniformDensity, "adaptive": AdaptiveDensity, "exact": ExactDensity}
    densities = {name: make(num_classes, number, memory, "none") for name, make in kinds.items()}
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
    12 equal bins are 1.5 to 3 away.
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
    """Pairs of float64 and int64 arrays, one per moment."""
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
        if not ((g >= 0) & (g <= 1) & (y >= 0) & (y < num_classes)).all():
            raise ConfigError(
                f"gradients[{t}]: expected 1 - p_y in [0, 1], of classes 0 to {num_classes - 1}"
            )
        moments.append((g, y.astype(np.int64)))
    return moments


def _picture(frames: list[dict], class_names: Sequence[str], shades: np.ndarray) -> Figure:
    figure, axes = plt.subplots(
        2, 2, figsize=(6, 4), sharex=True, sharey=True, layout="constrained"
    )
    for row, frame, name, shade in zip(axes, frames, class_names, shades, strict=True):
        row[0].set_ylabel(f"{plain(name)}\ndensity", fontsize=8)
        for ax, kind in zip(row, ("uniform", "adaptive"), strict=True):
            edges = logit(np.clip(frame[kind + "Edges"], SMALLEST, LARGEST))
            ax.fill_between(logit(GRID), 1e-9, frame["reference"], color="0.85", linewidth=0)
            ax.plot(logit(GRID), frame["exact"], ":", color="0.4", linewidth=1)
            ax.stairs(frame[kind], edges, baseline=1e-9, color=shade)
            ax.vlines(edges, 0.02, 0.04, color=shade, linewidth=0.8)
            words = {"uniform": "equal", "adaptive": "adaptive"}[kind]
            ax.set_title(f"{words} bins, error {frame[kind + 'Error']:.2f} nats", fontsize=8)
    highest = max(frame["reference"].max() for frame in frames)
    ticks = np.array([1e-4, 0.01, 0.5, 0.99])
    axes[0, 0].set(yscale="log", ylim=(0.02, 3 * highest), xlim=logit(GRID[[0, -1]]))
    axes[0, 0].set_xticks(logit(ticks), [f"{tick:g}" for tick in ticks])
    figure.supxlabel("g = 1 − p, stretched at both ends", fontsize=8)
    return figure
