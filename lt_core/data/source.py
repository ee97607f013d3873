"""What every layout on disk is turned into before images are chosen from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.errors import DataError


@dataclass(frozen=True)
class Source:
    """Labelled images of which rows can be read.

    ``targets`` int64 ``(N,)`` in the standard class order; ``read(rows)``
    gives uint8 ``(len(rows), C, H, W)``; ``label_map[l]`` is the class of the
    label l on disk, None where they agree.
    """

    targets: np.ndarray
    class_names: tuple[str, ...]
    read: Callable[[np.ndarray], torch.Tensor]
    files: tuple[Path, ...] = ()
    label_map: tuple[int, ...] | None = None


def natural_key(name: str) -> list:
    """Sorting key under which class "10" comes after class "9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def standard_classes(
    names: Sequence[str], info: DatasetInfo, where: Path
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names in the standard order, and the class of each name as given.

    The standard order is the data set's own, or else the natural order of the
    names, so that training and test files agree whatever order each was
    written in. Names that are the numbers 0 to C - 1 are classes already.
    """
    if len(set(names)) != len(names) or len(names) != info.num_classes:
        raise DataError(
            f"{where}: {info.name} has {info.num_classes} classes, found {len(set(names))} "
            f"different names among {len(names)}"
        )
    if set(names) == {str(c) for c in range(len(names))}:
        standard = info.class_names or tuple(sorted(names, key=natural_key))
        return standard, tuple(int(name) for name in names)
    if info.class_names is None:
        standard = tuple(sorted(names, key=natural_key))
    elif set(names) == set(info.class_names):
        standard = info.class_names
    else:
        strange = sorted(set(names) - set(info.class_names))
        raise DataError(
            f"{where}: {strange[0]!r} is no class of {info.name}; its classes are "
            f"{', '.join(info.class_names)}"
        )
    return standard, tuple(standard.index(name) for name in names)


def to_standard(labels: np.ndarray, label_map: tuple[int, ...], where: Path) -> np.ndarray:
    """Labels on disk -> classes in the standard order; a label out of range is refused."""
    labels = np.asarray(labels, dtype=np.int64)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(label_map)))
    if len(wrong):
        raise DataError(
            f"{where}: row {wrong[0]} has label {labels[wrong[0]]}, "
            f"expected 0 to {len(label_map) - 1} ({len(wrong)} such rows)"
        )
    return np.asarray(label_map, dtype=np.int64)[labels]


def unless_identity(label_map: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if label_map == tuple(range(len(label_map))) else label_map
