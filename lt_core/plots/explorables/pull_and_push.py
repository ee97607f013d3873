"""The second explorable: softmax's pull and push, by class, over training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from lt_core.errors import ConfigError
from lt_core.gradients import GradientTracker
from lt_core.plots import points_by_rank
from lt_core.plots.explorables.figure import Explorable, colors, names, rounded
from lt_core.plots.styling import plain


def logit_forces(
    snapshots: Sequence[GradientTracker | np.ndarray],
    labels: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "Who pulls a logit up, who pushes it down",
    start: int = -1,
) -> Explorable:
    """Step through moments and classes: pull against push, and who pushes whom.

    snapshots: what a :class:`~lt_core.gradients.GradientTracker` saw, one per moment, either
    trackers or their ``negative`` ``(C, C)`` (row: class of the sample, column: logit,
    diagonal 0), classes in order of rank, head first. The pull needs no array of its own: a
    class pulls its logit up by exactly what it pushes the others down. Sums of one epoch
    and running sums are both fine; ``title`` should say which.

    labels: the name of each moment, ``"epoch 1"`` and so on by default; class_names:
    ``"class 0"`` and so on; start: the moment shown first, and in the fallback picture,
    counted as a list does.

    Raises :class:`~lt_core.errors.ConfigError` for snapshots of unequal or wrong shape,
    negative or non-finite sums, and names that do not match in number.
    """
    pushes = _pushes(snapshots)
    moments, num_classes, _ = pushes.shape
    if start not in range(-moments, moments):
        raise ConfigError(f"start: expected a moment from 0 to {moments - 1}, got {start!r}")
    start %= moments
    labels = names("labels", labels, [f"epoch {t + 1}" for t in range(moments)])
    class_names = names("class_names", class_names, [f"class {k}" for k in range(num_classes)])
    data = {
        "label": "Pull and push on each class's logit, and the pushes of a chosen class",
        "colors": colors(num_classes),
        "labels": labels,
        "names": class_names,
        "start": start,
        "negative": rounded(pushes, 3),
    }
    pull, push = pushes[start].sum(axis=1), pushes[start].sum(axis=0)
    picture, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
    points_by_rank(ax, pull, "pull of its own samples", marker="^")
    points_by_rank(ax, push, "push of all others", marker="v", filled=False)
    ax.set(yscale="log", ylabel="sum of |gradient|", title=plain(labels[start]))
    ax.legend(frameon=False, fontsize=8)
    ratio = pull / np.maximum(push, np.finfo(float).tiny)
    alt = (
        f"Pull and push on the logit of each of {num_classes} classes at {labels[start]}, on a "
        f"log axis. Pull over push is {ratio[0]:.2g} for {class_names[0]} and "
        f"{ratio[-1]:.2g} for {class_names[-1]}."
    )
    return Explorable("gradients", title, data, picture, alt, ["gradients.js"])


def _pushes(snapshots: Sequence[GradientTracker | np.ndarray]) -> np.ndarray:
    """The ``negative`` of each snapshot, ``(T, C, C)``, checked."""
    given = [
        s.negative.numpy(force=True) if isinstance(s, GradientTracker) else s for s in snapshots
    ]
    arrays = [np.asarray(negative, dtype=np.float64) for negative in given]
    shapes = {array.shape for array in arrays}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
        raise ConfigError(
            "snapshots: expected at least one tracker or (C, C) array, all of one shape, got "
            f"shapes {sorted(shapes)}"
        )
    pushes = np.stack(arrays)
    if not (np.isfinite(pushes).all() and (pushes >= 0).all()):
        raise ConfigError("snapshots: expected finite sums of at least 0")
    if pushes.diagonal(axis1=1, axis2=2).any():
        raise ConfigError("snapshots: expected a diagonal of 0, as in GradientTracker.negative")
    return pushes
