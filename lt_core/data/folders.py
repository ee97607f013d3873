"""Image folders: ``train/CLASS/…``, ``test/CLASS/…``, and Stanford's TinyImageNet.

``tiny-imagenet-200`` keeps its validation images in one folder beside a file
of labels; they are what everyone tests on, since its test labels are secret.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.source import Source, natural_key, standard_classes, unless_identity
from lt_core.errors import DataError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_TINY = "tiny-imagenet-200"
_ANNOTATIONS = Path("val") / "val_annotations.txt"


def open_source(info: DatasetInfo, folder: Path, split: str) -> Source | None:
    """The images of ``split`` below ``folder``, or None where it holds no such folders."""
    if (folder / _TINY).is_dir():
        folder = folder / _TINY
    if split == "test" and (folder / _ANNOTATIONS).is_file():
        where = folder / _ANNOTATIONS
        by_class = _annotated(where)
    else:
        candidates = ("train",) if split == "train" else ("test", "val")
        where = next((folder / name for name in candidates if (folder / name).is_dir()), None)
        if where is None:
            return None
        by_class = {
            entry.name: [path for path in entry.rglob("*") if path.suffix.lower() in _SUFFIXES]
            for entry in where.iterdir()
            if entry.is_dir()
        }
    names = sorted(by_class, key=natural_key)
    class_names, label_map = standard_classes(names, info, where)
    paths, targets = [], []
    for name, label in sorted(zip(names, label_map, strict=True), key=lambda pair: pair[1]):
        found = sorted(by_class[name], key=lambda path: natural_key(path.as_posix()))
        if split == "train" and len(found) != info.head_count:
            raise DataError(
                f"{where / name}: {len(found)} images, the complete class has {info.head_count}; "
                "get the data set again"
            )
        paths += found
        targets += [label] * len(found)

    def read(rows: np.ndarray) -> torch.Tensor:
        height, width = info.image_shape[1:]
        pixels = images.stack(
            lambda i: images.read_bytes(paths[rows[i]]),
            lambda i: str(paths[rows[i]]),
            len(rows),
            height,
            width,
        )
        return torch.from_numpy(pixels)

    return Source(
        np.asarray(targets, dtype=np.int64),
        class_names,
        read,
        (where,),
        unless_identity(label_map),
    )


def _annotated(path: Path) -> dict[str, list[Path]]:
    """Class -> images, from lines ``file TAB class TAB box``."""
    by_class: dict[str, list[Path]] = {}
    text = images.read_bytes(path).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or Path(fields[0]).name != fields[0]:
            raise DataError(f"{path}: line {number} is {line[:60]!r}, expected FILE TAB CLASS …")
        by_class.setdefault(fields[1], []).append(path.parent / "images" / fields[0])
    return by_class
