"""What every layout on disk is turned into before images are chosen from it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.errors import DataError

_WORDS = {
    "train": {"train", "training"},
    "test": {"test", "testing"},
    "val": {"val", "valid", "validation"},
}
# And all that begins with a dot.
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
_SHOWN = 6  # names of what was found


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


def is_litter(name: str) -> bool:
    """Whether systems or editors leave files or folders of this name."""
    return name.startswith(".") or name.lower() in _LITTER


def listing(folder: Path) -> list[str]:
    """The files below ``folder``, without litter, as sorted relative paths.

    No file is opened or stat-ed. DataError for a folder that cannot be listed, or that is a link
    to one above itself: its files would be counted again and again.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    paths = []
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.islink(place) and Path(os.path.realpath(place)) in Path(place).parents:
            raise DataError(f"{place}: a link to a folder above it, remove the link")
        folders[:] = [name for name in folders if not is_litter(name)]
        inside = Path(place).relative_to(folder)
        paths += [(inside / name).as_posix() for name in names if not is_litter(name)]
    return sorted(paths)


def names_in(folder: Path) -> list[str]:
    """The names in ``folder``, without litter; none where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not is_litter(name))
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []


def found(folder: Path) -> str:
    """What lies in ``folder``, as the end of a sentence about it."""
    try:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(folder))
    except FileNotFoundError:
        parent = folder.parent
        return f"which does not exist ({parent}, {found(parent)})" if folder != parent else ""
    except NotADirectoryError:
        return "which is a file"
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        return f"which cannot be listed ({getattr(error, 'strerror', None) or error})"
    if not names:
        return "which is empty"
    if len(names) == 1 and names[0].endswith("/"):
        return f"which holds {names[0]}, {found(folder / names[0])}"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"which holds {', '.join(names[:_SHOWN])}{more}"


def split_of(path: str) -> str | None:
    """``train``, ``test`` or ``val``, where a file's name or a folder above it says so."""
    for part in reversed(path.split("/")):
        words = set(re.findall(r"[a-z]+", part.lower()))
        for split, known in _WORDS.items():
            if words & known:
                return split
    return None


def split_folder(name: str) -> str | None:
    """``train``, ``test`` or ``val``, where that is the whole name of a folder."""
    return next((split for split, known in _WORDS.items() if name.lower() in known), None)


def natural_key(name: str) -> list:
    """Sorting key under which class "10" comes after class "9"."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


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
    numbers = [int(name) if name.isascii() and name.isdigit() else -1 for name in names]
    if sorted(numbers) == list(range(len(names))):
        return info.class_names or tuple(sorted(names, key=natural_key)), tuple(numbers)
    standard = info.class_names or tuple(sorted(names, key=natural_key))
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


def unnamed(class_names: Sequence[str]) -> bool:
    """Whether the classes have numbers for names, so that nothing can be read from them."""
    return list(class_names) == [str(c) for c in range(len(class_names))]


def to_standard(labels: Sequence[int], label_map: tuple[int, ...], where: Path) -> np.ndarray:
    """Labels on disk -> classes in the standard order; a label out of range is refused."""
    labels = np.asarray(labels)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(label_map)))
    if len(wrong):
        raise DataError(
            f"{where}: row {wrong[0]} has label {labels[wrong[0]]}, "
            f"expected 0 to {len(label_map) - 1} ({len(wrong)} such rows)"
        )
    return np.asarray(label_map, dtype=np.int64)[labels.astype(np.int64)]


def check_complete(source: Source, count: int | None, images: str) -> Source:
    """``source``, if every class has ``count`` images; ``images`` says what they are."""
    counts = np.bincount(source.targets, minlength=len(source.class_names))
    wrong = np.flatnonzero(counts != count)
    if len(wrong):
        raise DataError(
            f"{', '.join(map(str, source.files))}: {len(wrong)} of {len(counts)} classes have "
            f"another number of {images} images than {count}, first "
            f"{source.class_names[wrong[0]]!r} with {counts[wrong[0]]}"
        )
    return source


def unless_identity(label_map: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if label_map == tuple(range(len(label_map))) else label_map
