"""What every layout on disk is turned into before images are chosen from it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.data.files import natural_key
from lt_core.errors import DataError

_SHOWN = 6  # names of classes that were found


@dataclass(frozen=True)
class Source:
    """Labelled images of which rows can be read.

    ``targets`` int64 ``(N,)`` in the standard class order; ``read(rows)``
    gives uint8 ``(len(rows), C, H, W)``; ``label_map[l]`` is the class of the
    label l on disk, None where they agree. ``shards`` may hold a part of the
    training images; ``note`` is said where others lack some.
    """

    targets: np.ndarray
    class_names: tuple[str, ...]
    read: Callable[[np.ndarray], torch.Tensor]
    files: tuple[Path, ...] = ()
    label_map: tuple[int, ...] | None = None
    shards: bool = False
    note: str = ""

    def check_complete(self, count: int, split: str) -> Source:
        """Raise DataError unless every class has ``count`` images."""
        counts = np.bincount(self.targets, minlength=len(self.class_names))
        wrong = np.flatnonzero(counts != count)
        if len(wrong):
            raise DataError(
                f"{', '.join(map(str, self.files))}: {len(wrong)} of {len(counts)} classes have "
                f"another number of {split} images than {count}, first "
                f"{self.class_names[wrong[0]]!r} with {counts[wrong[0]]}{self.note}"
            )
        return self


def standard_classes(
    names: Sequence[str], info: DatasetInfo, where: Path
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names in the standard order, and the class of each name as given.

    The standard order is the data set's own, or else the natural order of the
    names, so that training and test files agree whatever order each was
    written in. Names that are the numbers 0 to C - 1 are classes already. A
    name that is spelled in another way (``cra``, ``Crab``) is the nearest of
    the data set's names that nothing else is called.
    """
    if len(set(names)) != len(names) or len(names) != info.num_classes:
        absent = sorted(set(info.class_names or ()) - set(names), key=natural_key)
        shown = ", ".join(map(repr, list(names)[:_SHOWN]))
        raise DataError(
            f"{where}: {info.name} has {info.num_classes} classes, found {len(set(names))} "
            f"different names among {len(names)}: {shown}{' …' if len(names) > _SHOWN else ''}"
            + (f"; {absent[0]!r} is not there" if absent else "")
        )
    standard = info.class_names or tuple(sorted(names, key=natural_key))
    numbers = [int(name) if name.isascii() and name.isdigit() else -1 for name in names]
    if sorted(numbers) == list(range(len(names))):
        return standard, tuple(numbers)
    label = {name: c for c, name in enumerate(standard)}
    unused = {name.lower(): name for name in standard if name not in names}
    for name in names:
        if name not in label:
            nearest = difflib.get_close_matches(name.lower(), unused, n=1)
            if not nearest:
                raise DataError(
                    f"{where}: {name!r} is no class of {info.name}; its classes are "
                    f"{', '.join(standard)}"
                )
            label[name] = label[unused.pop(nearest[0])]
    return standard, tuple(label[name] for name in names)


def in_standard_order(
    labels: Sequence[int], names: Sequence[str], info: DatasetInfo, where: Path
) -> tuple[np.ndarray, tuple[str, ...], tuple[int, ...] | None]:
    """``targets``, ``class_names`` and ``label_map`` of a source; see :func:`standard_classes`.

    A label out of range is refused.
    """
    class_names, classes = standard_classes(names, info, where)
    labels = np.asarray(labels)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise DataError(
            f"{where}: row {wrong[0]} has label {labels[wrong[0]]}, "
            f"expected 0 to {len(names) - 1} ({len(wrong)} such rows)"
        )
    targets = np.asarray(classes, dtype=np.int64)[labels.astype(np.int64)]
    return targets, class_names, None if classes == tuple(range(len(names))) else classes


def unnamed(class_names: Sequence[str]) -> bool:
    """Whether the classes have numbers for names, so that nothing can be read from them."""
    return list(class_names) == [str(c) for c in range(len(class_names))]
