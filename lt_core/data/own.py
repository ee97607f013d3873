"""A user's own images: ``folder:DIR``, any size, any number of classes and of images.

``DIR`` holds ``train/CLASS/*.jpg`` and ``test/CLASS/*.jpg`` (or ``val``, where there is no
``test``), or one CSV file with the columns ``path``, ``label`` and ``split``, whose paths are
relative to ``DIR``. Files are listed, never opened or stat-ed one by one: 100,000 take seconds.

**The name.** A run's key must be the same wherever the images lie, so the data set is called
``folder:NAME@DIGEST``: the folder's own name and eight digits of a hash of its relative paths,
each with its split and class; not of the pixels. ``folder:DIR`` becomes that name when a
configuration is made, and the folder is remembered in the environment variable ``LT_FOLDERS``,
which processes that are started from here inherit. Elsewhere ``folder:NAME@DIGEST`` is looked
for in ``LT_FOLDERS`` and in the folder that ``LT_DATA_ROOT`` names.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from lt_core.data.catalog import IMAGENET, DatasetInfo
from lt_core.data.files import is_image, listing, natural_key, read_bytes, split_folder
from lt_core.errors import ConfigError, DataError

PREFIX = "folder:"
#: Folders of a user's own images that this process or one before it has met.
FOLDERS = "LT_FOLDERS"
#: Side in pixels to which images are brought unless the recipe has another ``image_size``.
SIZE = 128
_LAYOUT = (
    "expected train/CLASS/*.jpg and test/CLASS/*.jpg, or one CSV file with the columns path, "
    "label and split"
)
_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    "label": ("label", "class", "target"),
    "split": ("split", "set"),
}
_SHOWN = 5


@dataclass(frozen=True)
class Tree:
    """What lies in a folder of images: ``(path, class)`` pairs by split, paths relative.

    ``problems`` say in words what cannot be used, ``others`` are files that are no images by
    their names.
    """

    path: Path
    class_names: tuple[str, ...]
    images: dict[str, list[tuple[str, int]]]
    problems: tuple[str, ...]
    others: tuple[str, ...]

    def counts(self, split: str) -> list[int]:
        """Images of each class."""
        found = Counter(label for _, label in self.images.get(split, ()))
        return [found[c] for c in range(len(self.class_names))]

    @property
    def evaluated(self) -> str:
        """The split that is tested on."""
        return "test" if self.images.get("test") else "val"

    @property
    def name(self) -> str:
        used = {split: sorted(self.images[split]) for split in ("train", self.evaluated)}
        text = json.dumps([self.path.name, self.class_names, used], separators=(",", ":"))
        return f"{PREFIX}{self.path.name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def info(name: str) -> DatasetInfo:
    """The facts about ``folder:DIR``, under the name that is the same on every machine."""
    tree = usable(name)
    return DatasetInfo(
        name=tree.name,
        title=f"own images, {tree.path.name}",
        num_classes=len(tree.class_names),
        head_count=None,
        test_count=None,
        image_shape=(3, SIZE, SIZE),
        holdout=0,
        model="resnet18",
        recipe="folder",
        how_to_get=_LAYOUT,
        **IMAGENET,
    )


def load(name: str, split: str):
    """The images of one split, on disk."""
    import numpy as np
    import torch

    from lt_core.data.dataset import Dataset
    from lt_core.data.images import LazyImages

    tree = usable(name)
    source = tree.evaluated if split == "test" else split
    if not tree.images.get(source):
        raise DataError(f"{tree.path}: no {split} images; {_LAYOUT}")
    paths, targets = zip(*tree.images[source], strict=True)
    return Dataset(
        name=tree.name,
        split=split,
        images=LazyImages(tree.path, list(paths), size=SIZE, resize=SIZE * 8 // 7),
        targets=torch.tensor(targets, dtype=torch.int64),
        class_names=tree.class_names,
        indices=np.arange(len(paths)),
        files=(tree.path,),
    )


def usable(name: str) -> Tree:
    """The tree that ``folder:…`` names; DataError where something in it cannot be used."""
    tree = read(place(name))
    if tree.problems:
        more = len(tree.problems) - _SHOWN
        raise DataError(
            f"{tree.path}: {'; '.join(tree.problems[:_SHOWN])}"
            f"{f'; and {more} more' if more > 0 else ''}; lt-core look shows what is there"
        )
    _remember(tree.path)
    return tree


def place(name: str) -> Path:
    """The folder that ``folder:DIR`` or ``folder:NAME@DIGEST`` means."""
    given = name.removeprefix(PREFIX).strip()
    if not given:
        raise ConfigError(f"data set: expected {PREFIX}DIR with a folder of images, got {name!r}")
    path = Path(os.path.expanduser(given))
    if os.path.isdir(path):  # False for a name that no file can have
        return path.absolute()
    own_name, _, digest = given.rpartition("@")
    if not own_name or "/" in own_name or len(digest) != 8:
        raise DataError(f"{path}: no such folder; {PREFIX}DIR names a folder of images")
    root = os.environ.get("LT_DATA_ROOT")
    near = [Path(root).expanduser() / own_name] if root else []
    places = [
        near
        for near in (*map(Path, _known()), *near)
        if near.name == own_name and os.path.isdir(near)
    ]
    for found in places:
        if read(found.absolute()).name == PREFIX + given:
            return found.absolute()
    raise DataError(
        f"{name}: no folder {own_name} with these classes and images in "
        f"{', '.join(map(str, places)) or 'LT_FOLDERS or LT_DATA_ROOT'}; give {PREFIX}DIR, or "
        "put its place into the environment variable LT_FOLDERS"
    )


def _remember(path: Path) -> None:
    if str(path) not in (known := _known()):
        os.environ[FOLDERS] = "\n".join([str(path), *known])


def _known() -> list[str]:
    """The folders in ``LT_FOLDERS``: a line each, or several in a line that is no folder itself."""
    lines = os.environ.get(FOLDERS, "").split("\n")
    several = ([line] if os.path.isdir(line) else line.split(os.pathsep) for line in lines)
    return [entry for entries in several for entry in entries if entry]


@functools.lru_cache(maxsize=8)
def read(path: Path) -> Tree:
    """List a folder of images, once per process; what is wrong with it is in ``problems``."""
    path = Path(os.path.normpath(path))
    files = listing(path)
    others = [file for file in files if not is_image(file)]
    tables = [file for file in others if file.lower().endswith(".csv") and "/" not in file]
    pictures = set(files).difference(others)
    found: list[tuple[str, str, str]] = []
    problems: list[str] = []
    if foreign := [name for name in (path.name, *sorted(pictures)) if not _is_text(name)]:
        pictures.difference_update(foreign)
        problems.append(f"{len(foreign)} names are not UTF-8, such as {foreign[0]}: rename them")
    in_folders = [entry for file in sorted(pictures) for entry in _in_folders(file)]
    if in_folders:
        found = in_folders
        problems += [
            f"{name} lists images and train/CLASS/ holds some: move one of the two away"
            for name in tables
            if None not in _places(_rows(path, name, [])).values()
        ]
        folders = sorted({(split, file.partition("/")[0]) for split, _, file in found})
        problems += [
            f"{first} and {second} both hold {split} images: move one of the two away"
            for (split, first), (other, second) in pairwise(folders)
            if split == other
        ]
    elif len(tables) == 1:
        others.remove(tables[0])
        found = list(_in_table(path, tables[0], problems))
    else:
        many = f"{len(tables)} CSV files and " if tables else ""
        problems.append(f"{many}no images in train/CLASS/; {_LAYOUT}")
    class_names = sorted({label for split, label, _ in found if split == "train"}, key=natural_key)
    order = {name: c for c, name in enumerate(class_names)}
    images: dict[str, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    unknown = Counter()
    for split, label, file in found:
        if label in order:
            images[split].append((file, order[label]))
        else:
            unknown[split, label] += 1
    if found and not class_names:
        problems.append(f"no training images; {_LAYOUT}")
    else:
        problems += [
            f"{count} {split} images of class {label!r}, which has no training image"
            for (split, label), count in unknown.items()
        ]
    tree = Tree(path, tuple(class_names), images, tuple(problems), tuple(others))
    if found and not problems:
        tree = replace(tree, problems=tuple(_missing(tree)))
    return tree


def _is_text(name: str) -> bool:
    """Whether a name of the file system is UTF-8; of another one the bytes are kept apart."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def _missing(tree: Tree) -> Iterator[str]:
    if len(tree.class_names) < 2:
        yield f"{len(tree.class_names)} classes with training images, expected at least 2"
    tested = tree.counts(tree.evaluated)
    if not any(tested):
        yield "no images to test on: move some of each class into test/CLASS/"
    else:
        for name, count in zip(tree.class_names, tested, strict=True):
            if not count:
                yield f"class {name!r} has no {tree.evaluated} image"


def _in_folders(file: str) -> Iterator[tuple[str, str, str]]:
    """``(split, class, path)`` of an image at ``train/CLASS/…``; nothing for another."""
    parts = file.split("/")
    if len(parts) > 2 and (split := split_folder(parts[0])):
        yield split, parts[1], file


def _in_table(folder: Path, name: str, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """``(split, class, path)`` of each line of a CSV file; what is wrong joins ``problems``."""
    from lt_core.data import listfile

    rows = _rows(folder, name, problems)
    place = _places(rows)
    missing = [column for column, found in place.items() if found is None]
    if missing and not problems:
        head = ", ".join(rows[0]) if rows else "none"
        problems.append(f"{name}: no column {' and no '.join(map(repr, missing))} among {head}")
    if problems:
        return
    try:
        files, labels = listfile.checked(_entries(rows, place), Path(name), folder)
    except DataError as error:
        problems.append(str(error))
        return
    for file, (split, label) in zip(files, labels, strict=True):
        yield split, label, file


def _entries(rows: list[list[str]], place: dict[str, int]) -> Iterator[tuple]:
    """An entry for each line that is not blank, its label ``(split, class)``."""
    for number, row in enumerate(rows[1:], start=2):
        where, used, problem = f"line {number}", None, None
        if not any(field.strip() for field in row):
            continue
        if len(row) <= max(place.values()):
            yield where, "", used, ("fields", f"{len(row)} fields, expected {len(rows[0])}")
            continue
        file, label, split = (row[place[column]].strip() for column in _COLUMNS)
        if not is_image(file):
            problem = "suffix", f"{file} is no image by its name"
        elif not label:
            problem = "no label", f"{file} has no label"
        elif (part := split_folder(split)) is None:
            problem = "split", f"split {split!r} is none of train, val and test"
        else:
            used = part, label
        yield where, file, used, problem


def _rows(folder: Path, name: str, problems: list[str]) -> list[list[str]]:
    """The lines of a CSV file, the head's words in lower case."""
    content = read_bytes(folder / name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(f"{name} line {line}: not UTF-8; save the file in this encoding")
        return []
    lines = io.StringIO(text, newline=None)
    delimiter = max(",;\t", key=lines.readline().count)
    lines.seek(0)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:  # such as a field of more than 131,072 characters
        problems.append(f"{name}: {error}")
        return []
    return [[title.strip().lower() for title in rows[0]], *rows[1:]] if rows else []


def _places(rows: list[list[str]]) -> dict[str, int | None]:
    """Where the columns stand that are needed; None for one that is not there."""
    head = rows[0] if rows else []
    return {
        column: next((head.index(title) for title in titles if title in head), None)
        for column, titles in _COLUMNS.items()
    }
