"""The exponential profile of a long tail, and the images that fill it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Annotated

from lt_core.errors import ConfigError, DataError
from lt_core.parameters import Range, convert

if TYPE_CHECKING:
    import numpy as np

#: Training images of a class: many has more than 100, few fewer than 20, medium the rest.
MANY_ABOVE, FEW_BELOW = 100, 20


def class_counts(num_classes: int, head_count: int, imbalance_factor: float) -> list[int]:
    r"""Training images per class, head first.

    .. math:: n_c = \lfloor n_0 \, F^{-c / (C - 1)} \rfloor, \qquad c = 0, \dots, C - 1

    with ``C = num_classes >= 2``, ``n_0 = head_count`` images and
    ``F = imbalance_factor >= 1``, the ratio of head to tail before rounding.

    >>> class_counts(10, 5000, 100)
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]

    Raises ConfigError for an argument out of range, and for a factor that
    leaves a class without an image.
    Source: Cui et al. 2019, arXiv:1901.05555; as cut by LDAM-DRW.
    """
    num_classes = convert("num_classes", num_classes, Annotated[int, Range(2)])
    head_count = convert("head_count", head_count, Annotated[int, Range(1)])
    check_factor(imbalance_factor)
    counts = [
        int(head_count * imbalance_factor ** (-c / (num_classes - 1))) for c in range(num_classes)
    ]
    if counts[-1] == 0:
        raise ConfigError(
            f"imbalance_factor {imbalance_factor:g} leaves class {counts.index(0)} of "
            f"{num_classes} without an image: with {head_count} images in the head, take "
            f"a factor below {head_count}"
        )
    return counts


def check_factor(imbalance_factor: float) -> None:
    """Refuse what is not a finite number of at least 1."""
    number = isinstance(imbalance_factor, Real) and not isinstance(imbalance_factor, bool)
    if number and 1 <= imbalance_factor < math.inf:
        return
    hint = ""
    if number and 0 < imbalance_factor < 1:  # as some published code counts
        hint = f"; did you mean {1 / imbalance_factor:g} (= 1/{imbalance_factor:g})?"
    raise ConfigError(
        "imbalance_factor: expected 1 or more (the largest class over the smallest), "
        f"got {imbalance_factor!r}{hint}"
    )


def shuffled_rows(targets: np.ndarray, label: int, seed: int) -> np.ndarray:
    """The rows of class ``label`` in an order that depends on ``seed`` only.

    A prefix is a random sample, and a longer prefix holds every shorter one.
    The order sorts raw 64-bit draws: NumPy promises that a bit generator's
    stream never changes, which it does not promise for ``permutation``.
    """
    import numpy as np  # not needed for counts, with which every configuration is checked

    rows = np.flatnonzero(targets == label)
    keys = np.random.PCG64(np.random.SeedSequence([seed, label])).random_raw(len(rows))
    return rows[np.argsort(keys, kind="stable")]


def held_out(counts: Sequence[int], holdout: int) -> list[int]:
    """How many images of each class are set aside where data are taken as they are.

    ``holdout``, but at most half of a class, so that the tail keeps images to train on. Raises
    DataError where a class has a single image.
    """
    if holdout and min(counts) < 2:
        raise DataError(
            f"holdout: {sum(n < 2 for n in counts)} classes have a single training image, first "
            f"class {list(counts).index(min(counts))}, and cannot be divided; leave holdout out, "
            "or leave those classes out"
        )
    return [min(holdout, n // 2) for n in counts]


def draw(
    targets: np.ndarray, counts: Sequence[int], seed: int, holdout: int = 0, split: str = "train"
) -> np.ndarray:
    """Rows of a training set with ``counts[c]`` images of class c, class by class.

    The last ``holdout`` images of each class's shuffled rows are left alone,
    and are what ``split="val"`` gives. Raises DataError where a class has too few.
    """
    import numpy as np

    chosen = []
    for label, count in enumerate(counts):
        rows = shuffled_rows(targets, label, seed)
        if len(rows) < count + holdout:
            raise DataError(
                f"class {label} needs {count + holdout} images ({count} to train on, {holdout} "
                f"held out) and has {len(rows)}; take a larger imbalance factor, a smaller "
                "holdout, or the complete data"
            )
        chosen.append(np.sort(rows[:count] if split == "train" else rows[len(rows) - holdout :]))
    return np.concatenate(chosen)
