"""Data sets that are long-tailed by nature, described by a list of files.

A line is ``path label``; iNaturalist also comes as JSON with ``images``,
``annotations`` and ``categories``. Paths are relative to the data set's
folder and may not leave it. The images stay on disk: there are up to 675,170.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import torch
from PIL import Image

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.dataset import Dataset
from lt_core.errors import ConfigError, DataError

# iNaturalist publishes no labels for its test images: its validation list is tested on.
_LISTS = {
    "imagenet_lt": {s: (f"ImageNet_LT_{s}.txt",) for s in ("train", "val", "test")},
    "places_lt": {s: (f"Places_LT_{s}.txt",) for s in ("train", "val", "test")},
    "inaturalist2017": {"train": ("train2017.json",), "test": ("val2017.json",)},
    "inaturalist2018": {
        "train": ("iNaturalist18_train.txt", "train2018.json"),
        "test": ("iNaturalist18_val.txt", "val2018.json"),
    },
}
_SHOWN = 5  # problems named in a report


class LazyImages:
    """Images on disk as if they were uint8 ``(N, 3, size, size)``.

    Indexing by an integer, a slice or a tensor of rows decodes those images:
    the shorter side is resized to ``resize`` pixels (bilinear, antialiased)
    and the centre cut out. Raises DataError naming a file it cannot decode.
    """

    dtype = torch.uint8

    def __init__(self, folder: Path, paths: list[str], size: int = 224, resize: int = 256):
        self.folder, self.paths = folder, paths
        self.size, self.resize = size, resize

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    def __getitem__(self, rows: int | slice | torch.Tensor) -> torch.Tensor:
        if isinstance(rows, int):
            return self[[rows]][0]
        chosen = torch.arange(len(self))[rows].tolist()
        decoded = images.in_threads(self._decode, chosen)
        return torch.stack(decoded) if decoded else torch.empty(0, *self.shape[1:]).byte()

    def _decode(self, row: int) -> torch.Tensor:
        path = self.folder / self.paths[row]
        image = images.decode(images.read_bytes(path), str(path))
        scale = self.resize / min(image.size)
        width, height = (max(round(side * scale), self.size) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        image = image.crop((left, top, left + self.size, top + self.size))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def load(info: DatasetInfo, folder: Path, split: str) -> Dataset:
    """The list of ``split`` in ``folder``, checked line by line before an image is opened."""
    if split not in _LISTS[info.name]:
        raise ConfigError(
            f"{info.name} has no list for split {split!r}; it has {', '.join(_LISTS[info.name])}"
        )
    candidates = _LISTS[info.name][split]
    path = next((folder / name for name in candidates if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{info.name}: no {' or '.join(candidates)} in {folder}; {info.how_to_get}")
    text = images.read_bytes(path).decode("utf-8-sig", errors="replace")
    if path.suffix == ".json":
        entries, class_names = _from_json(text, path, info)
    else:
        entries = _from_lines(text)
        class_names = tuple(str(c) for c in range(info.num_classes))
    paths, targets = _checked(entries, path, folder, info.num_classes)
    return Dataset(
        name=info.name,
        split=split,
        images=LazyImages(folder, paths, size=info.image_shape[-1]),
        targets=torch.tensor(targets, dtype=torch.int64),
        class_names=class_names,
        indices=np.arange(len(paths)),
        files=(path,),
    )


def _from_lines(text: str) -> Iterator[tuple[str, str, object]]:
    """(where, image path, label) of each line; a path may hold spaces."""
    for number, line in enumerate(text.splitlines(), start=1):
        path, _, label = line.strip().rpartition(" ")
        yield f"line {number}", path.strip(), label


def _from_json(text: str, path: Path, info: DatasetInfo) -> tuple[Iterable, tuple[str, ...]]:
    """The same of each annotation; classes in the order of the categories' ids."""
    try:
        content = json.loads(text)
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        file_names = {entry["id"]: entry["file_name"] for entry in content["images"]}
        pairs = [(entry["image_id"], entry["category_id"]) for entry in content["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not an iNaturalist file ({type(error).__name__}: {error}), expected JSON "
            "with images, annotations and categories; get it again"
        ) from error
    if len(names) != info.num_classes:
        raise DataError(f"{path}: {len(names)} categories, {info.name} has {info.num_classes}")
    order = {category: c for c, category in enumerate(sorted(names))}
    entries = (
        (f"annotation {i}", file_names.get(image, ""), order.get(category, f"id {category}"))
        for i, (image, category) in enumerate(pairs)
    )
    return entries, tuple(names[category] for category in order)


def _checked(
    entries: Iterable[tuple[str, str, object]], path: Path, folder: Path, num_classes: int
) -> tuple[list[str], list[int]]:
    """Paths and labels, or one DataError with the first problems and their number."""
    first_use: dict[str, str] = {}
    targets: list[int] = []
    problems: list[str] = []
    for where, image, label in entries:
        problem = _problem(image, label, folder, num_classes)
        if problem is None and image in first_use:
            problem = f"{image} again, first in {first_use[image]}"
        if problem is not None:
            problems.append(f"{where}: {problem}")
            continue
        first_use[image] = where
        targets.append(int(label))
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(f"{path}: {len(problems)} unusable entries: {shown}{more}")
    return list(first_use), targets


def _problem(image: str, label: object, folder: Path, num_classes: int) -> str | None:
    if image == "" and label == "":
        return "blank"
    if image == "":
        return f"{label!r} is no image and label"
    try:
        number = int(label)
    except ValueError:
        return f"label {label!r} is no number"
    if not 0 <= number < num_classes:
        return f"label {number}, expected 0 to {num_classes - 1}"
    parts = PurePosixPath(image).parts + PureWindowsPath(image).parts
    if ".." in parts or PurePosixPath(image).is_absolute() or PureWindowsPath(image).anchor:
        return f"{image} leaves the data set's folder"
    if not os.path.isfile(folder / image):
        return f"{image} is not there"
    return None
