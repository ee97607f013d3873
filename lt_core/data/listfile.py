"""Data sets that are long-tailed by nature, described by a list of files.

A line is ``path label``, separated by a space, a tab or a comma; iNaturalist
also comes as JSON with ``images``, ``annotations`` and ``categories``. Paths
are relative to the data set's folder and may not leave it. The images stay on
disk: there are up to 675,170.
"""

from __future__ import annotations

import csv
import json
import os
import posixpath
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from lt_core.data import long_tail
from lt_core.data.catalog import DatasetInfo
from lt_core.data.files import found, names_in, natural_key, read_bytes
from lt_core.errors import ConfigError, DataError

if TYPE_CHECKING:  # a user's own list is checked without torch
    from lt_core.data.dataset import Dataset

_LINE = re.compile(r"(.*[^\s,;])[\s,;]+([^\s,;]+)")
_SHOWN = 5  # kinds of problems named in a report
#: Where it stands, the image's path, its label, and what is wrong with it: kind and words.
Entry = tuple[str, str, object, tuple[str, str] | None]


def load(info: DatasetInfo, folder: Path, split: str) -> Dataset:
    """The list of ``split`` in ``folder``, checked line by line before an image is opened."""
    names = info.lists.get(split)
    if names is None:
        raise ConfigError(
            f"{info.name} has no list for split {split!r}; it has {', '.join(info.lists)}"
        )
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{info.name}: no {' or '.join(names)} in {folder}, {found(folder)}; put "
            f"{info.how_to_get} into {folder} (LT_DATA_ROOT or --data-root names the folder that "
            f"holds {info.name}/)"
        )
    content = read_bytes(path)
    if path.suffix == ".json":
        entries, class_names = _from_json(content, path, info)
    else:
        entries = _from_lines(_text(content))
        class_names = tuple(str(c) for c in range(info.num_classes))
    paths, targets = checked(entries, path, folder, info.num_classes)
    listed = on_disk(info, split, folder, paths, targets, class_names, path)
    if split == "train":
        _compare(listed.class_counts, info, path)
    return listed


def on_disk(
    info: DatasetInfo,
    split: str,
    folder: Path,
    paths: list[str],
    targets: list[int],
    class_names: tuple[str, ...],
    source: Path,
) -> Dataset:
    """A data set of the images at ``paths`` below ``folder``, which are decoded when needed."""
    import numpy as np
    import torch

    from lt_core.data.dataset import Dataset
    from lt_core.data.images import LazyImages

    return Dataset(
        name=info.name,
        split=split,
        images=LazyImages(folder, paths, info.image_shape[-1]),
        targets=torch.tensor(targets, dtype=torch.int64),
        class_names=class_names,
        indices=np.arange(len(paths)),
        files=(source,),
    )


def cut(listed: Dataset, factor: float, seed: int) -> Dataset:
    """Keep at most ``factor`` times the images of the smallest class; classes with fewer keep all.

    ``seed`` draws the images that are kept. The poster's Table 2 has ImageNet-LT at a factor of
    100, which is not its own, and does not say how it was cut: this is our choice.
    """
    counts = listed.class_counts
    most = int(factor * min(counts))
    if most >= max(counts):
        raise ConfigError(
            f"imbalance_factor: {listed.files[0]} has one of {max(counts) / min(counts):g} and "
            f"cannot be cut to {factor:g}; take 1 for the list as it is"
        )
    rows = long_tail.draw(listed.targets.numpy(), [min(n, most) for n in counts], seed)
    return listed.take(rows, imbalance_factor=factor, subset_seed=seed)


def divided(listed: Dataset, split: str, holdout: int, seed: int) -> Dataset:
    """The training images without those that are held out, or those (``split="val"``)."""
    import numpy as np

    targets, rows = listed.targets.numpy(), []
    for label, aside in enumerate(long_tail.held_out(listed.class_counts, holdout)):
        shuffled = long_tail.shuffled_rows(targets, label, seed)
        kept = len(shuffled) - aside
        rows.append(np.sort(shuffled[:kept] if split == "train" else shuffled[kept:]))
    changes = {"split": split, "subset_seed": seed, "holdout": holdout}
    return listed.take(np.concatenate(rows), **changes)


def published_counts(name: str) -> list[int] | None:
    """Training images of each class in the published list, None where it does not ship."""
    file = resources.files("lt_core.data").joinpath("class_counts.csv")
    with file.open(newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["dataset"] == name]
    return [int(row["images"]) for row in rows] or None


def _compare(counts: list[int], info: DatasetInfo, path: Path) -> None:
    """Warn of a training list with other numbers of images than the published one."""
    images = sum(counts)
    if images != (info.train_count or images) or counts != (published_counts(info.name) or counts):
        warnings.warn(
            f"{path}: not the published list of {info.name}: {images} images where that has "
            f"{info.train_count}, or others per class; its numbers cannot stand beside a paper's",
            stacklevel=3,
        )


def _text(content: bytes) -> str:
    """Text in UTF-8, UTF-16 or, failing both, Windows' Latin-1."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or 3 * content.count(0) > len(content):
        little = content[:2] == b"\xff\xfe" or content[1:2] == b"\0"
        text = content.decode("utf-16-le" if little else "utf-16-be", errors="replace")
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    return text.removeprefix("\ufeff")


def _from_lines(text: str) -> Iterator[Entry]:
    """An entry for each line; a path may hold spaces and stand in quotes."""
    lines = re.split(r"\r\n|\n|\r", text.rstrip()) if text.strip() else []
    for number, line in enumerate(lines, start=1):
        where, line = f"line {number}", line.strip()
        match = _LINE.fullmatch(line)
        if not match:
            problem = "pair", f"{line[:80]!r} is no image and label"
            yield where, line, -1, problem if line else ("blank", "blank")
            continue
        path, label = map(_unquoted, match.groups())
        if re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", label):
            yield where, path, int(label.split(".")[0]), None
        elif number > 1 or label.lower() not in ("label", "class", "target"):  # a table's head
            yield where, path, -1, ("number", f"label {label!r} is no number")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _from_json(
    content: bytes, path: Path, info: DatasetInfo
) -> tuple[Iterator[Entry], tuple[str, ...]]:
    """An entry for each annotation; classes in the numeric order of the categories' ids."""
    try:
        described = json.loads(content)
        tables = [described[key] for key in ("categories", "images", "annotations")]
        if not all(isinstance(table, list) for table in tables):
            raise TypeError("categories, images and annotations must be lists")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: not an iNaturalist file ({type(error).__name__}: {error}), expected JSON "
            "with images, annotations and categories; get it again"
        ) from error
    categories, pictures, annotations = tables
    names = _by_id(categories, "name", "category", path)
    files = _by_id(pictures, "file_name", "image", path)
    if len(names) != info.num_classes:
        raise DataError(f"{path}: {len(names)} categories, {info.name} has {info.num_classes}")
    classes = sorted(names, key=natural_key)
    order = {category: c for c, category in enumerate(classes)}

    def entries() -> Iterator[Entry]:
        for i, annotation in enumerate(annotations):
            image, category = (_id(annotation, key) for key in ("image_id", "category_id"))
            problem = None
            if image is None or category is None:
                problem = "ids", f"{str(annotation)[:80]} has no usable image_id and category_id"
            elif image not in files:
                problem = "image", "the image is not in the list of images"
            elif category not in order:
                problem = "category", f"category {category} is not in the list of categories"
            yield f"annotation {i} (image {image})", files.get(image), order.get(category), problem

    return entries(), tuple(names[category] for category in classes)


def _by_id(table: list, field: str, kind: str, path: Path) -> dict[str, str]:
    """id -> the text in ``field``, of entries whose ids differ."""
    values = {}
    for i, entry in enumerate(table):
        number = _id(entry, "id")
        if number is None or field not in entry:
            problem = f"is {str(entry)[:80]}, expected an object with an id and a {field}"
        elif number in values:
            problem = f"has the id {number} of an earlier one"
        elif not (isinstance(entry[field], str) and entry[field].strip()):
            problem = f"has the {field} {entry[field]!r}, expected text"
        else:
            values[number] = entry[field]
            continue
        raise DataError(f"{path}: {kind} {i} {problem}")
    return values


def _id(entry: object, key: str) -> str | None:
    """The id as text: some files write 7, others "7"."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def checked(
    entries: Iterator[Entry], path: Path, folder: Path, num_classes: int | None = None
) -> tuple[list[str], list]:
    """Paths and labels, or one DataError with the first problem of each kind and their number.

    Without ``num_classes`` a label may be anything.
    """
    used: dict[str, tuple[str, object]] = {}
    labels = set()
    problems: dict[str, list[str]] = {}  # kind -> the first in words, and where all of it are
    files_in = cache(lambda name: _files_in(folder / name))
    own = tuple(f"{each.as_posix()}/" for each in (folder, folder.absolute()))
    for where, image, label, problem in entries:
        if problem is None:
            labels.add(label)
            inside = _inside(image, own)
            above, name = posixpath.split(inside or "")
            absent = name not in files_in(above)
            if num_classes is not None and not 0 <= label < num_classes:
                problem = "label", f"label {label}, expected 0 to {num_classes - 1}"
            elif inside is None or (absent and image.startswith("/")):
                problem = "leaves", f"{image} leaves the data set's folder"
            elif absent:
                problem = "absent", f"{image} is not there"
            elif inside in used:
                first, other = used[inside]
                labelled = f" with label {other} instead of {label}" if other != label else ""
                problem = "again", f"{image} again, first in {first}{labelled}"
            else:
                used[inside] = where, label
                continue
        kind, words = problem
        if kind not in problems:
            hint = _hint(image, folder) if kind in ("leaves", "absent") else ""
            problems[kind] = [words + hint]
        problems[kind].append(where)
    if "label" in problems and 0 not in labels and max(labels) == num_classes:
        problems["label"][0] += "; none is 0: labels that begin at 1 have to be reduced by 1"
    if problems:
        shown = [
            f"{first}{f' and {len(more)} more' if more else ''}: {words}"
            for words, first, *more in problems.values()
        ]
        total = sum(map(len, problems.values())) - len(problems)
        raise DataError(f"{path}: {total} unusable entries: {'; '.join(shown[:_SHOWN])}")
    if not used:
        raise DataError(f"{path}: the list is empty")
    return list(used), [label for _, label in used.values()]


def _inside(image: str, own: tuple[str, ...]) -> str | None:
    """The normal form of a path in the data set's folder, None where it leads elsewhere.

    ``own`` are the folder's own paths, which may stand before it; so may a slash.
    """
    image = image.replace("\\", "/")
    for prefix in own:
        image = image.removeprefix(prefix)
    if ".." in image.split("/") or re.match("[A-Za-z]:", image):
        return None
    return posixpath.normpath(image.lstrip("/"))


def _files_in(folder: Path) -> frozenset[str]:
    """The names of the files in a folder: one listing, however many images the list has there."""
    try:
        return frozenset(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return frozenset()


def _hint(image: str, folder: Path) -> str:
    """Where a file that is not where the list says lies instead, or what lies there."""
    parts = [part for part in image.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        return ""
    *above, name = parts
    parent = folder.joinpath(*above)
    stem = os.path.splitext(name)[0].lower()
    renamed = [other for other in names_in(parent) if os.path.splitext(other)[0].lower() == stem]
    instead = [
        "/".join((*above[:-1], name)),  # the images lie flat
        *("/".join(parts[start:]) for start in range(1, len(parts))),
        *("/".join((first, *parts)) for first in names_in(folder)),
        *("/".join((*above, other)) for other in renamed),
    ]
    for other in instead:
        if os.path.isfile(folder / other):
            return f", but {other} is: move the files to where the list has them or edit the list"
    return f", in {parent}, {found(parent)}" if above and not image.startswith("/") else ""
