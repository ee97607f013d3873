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
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from lt_core.data.catalog import DatasetInfo
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
    return _info(usable(name))


def _info(tree: Tree) -> DatasetInfo:
    return DatasetInfo(
        name=tree.name,
        title=f"own images, {tree.path.name}",
        num_classes=len(tree.class_names),
        how_to_get=_LAYOUT,
        image_shape=(3, SIZE, SIZE),
        model="resnet18",
        recipe="folder",
    )


def load(name: str, split: str):
    """The images of one split, on disk."""
    from lt_core.data import listfile

    tree = usable(name)
    listed = tree.images.get(tree.evaluated if split == "test" else split)
    if not listed:
        raise DataError(f"{tree.path}: no {split} images; {_LAYOUT}")
    paths, targets = map(list, zip(*listed, strict=True))
    return listfile.on_disk(
        _info(tree), split, tree.path, paths, targets, tree.class_names, tree.path
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
    for first, second in alike(tree.class_names):
        warnings.warn(
            f"{tree.path}: {first!r} and {second!r} are two classes; where one is meant, rename",
            stacklevel=2,
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
    known = _known()
    if known[:1] != [str(path)]:  # first: a copy elsewhere has the same name
        others = [entry for entry in known if entry != str(path)]
        os.environ[FOLDERS] = "\n".join([str(path), *others])


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
    problems: list[str] = []
    # Names that are not UTF-8: Python keeps their bytes apart, and no record can hold them.
    foreign = [name for name in (path.name, *files) if re.search("[\udc80-\udcff]", name)]
    if foreign := [name for name in foreign if name not in others]:
        problems.append(f"{len(foreign)} names are not UTF-8, such as {foreign[0]}: rename them")
    found = [
        (split, parts[1], file)
        for file in sorted(set(files).difference(others, foreign))
        if len(parts := file.split("/")) > 2 and (split := split_folder(parts[0]))
    ]
    if found:
        problems += [
            f"{name} lists images and train/CLASS/ holds some: move one of the two away"
            for name in tables
            if not isinstance(_table(path, name), DataError)
        ]
        folders = sorted({(split, file.partition("/")[0]) for split, _, file in found})
        problems += [
            f"{first} and {second} both hold {split} images: move one of the two away"
            for (split, first), (other, second) in pairwise(folders)
            if split == other
        ]
    elif len(tables) == 1:
        others.remove(tables[0])
        try:
            found = _in_table(path, tables[0])
        except DataError as error:
            problems.append(str(error))
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
        known = {_folded(name): f"; train has {name!r}: rename one of the two" for name in order}
        problems += [
            f"{count} {split} images of class {label!r}, which has no training image"
            f"{known.get(_folded(label), '')}"
            for (split, label), count in unknown.items()
        ]
    tree = Tree(path, tuple(class_names), images, tuple(problems), tuple(others))
    return replace(tree, problems=tuple(_missing(tree))) if found and not problems else tree


def _folded(name: str) -> str:
    """A class's name but for case, outer spaces and the way in which accents are encoded."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def alike(class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Classes whose names a person, or another system's folders, would take for one."""
    first, pairs = {}, []
    for name in class_names:
        if (other := first.setdefault(_folded(name), name)) != name:
            pairs.append((other, name))
    return pairs


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


def _table(folder: Path, name: str) -> csv.DictReader | DataError:
    """A CSV file whose columns are called path, label and split, or what is wrong with it."""
    content = read_bytes(folder / name)
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline=None)
        delimiter = max(",;\t", key=text.readline().count)
        text.seek(0)
        reader = csv.DictReader(text, delimiter=delimiter)
        head = [title.strip().lower() for title in reader.fieldnames or ()]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return DataError(f"{name} line {line}: not UTF-8; save the file in this encoding")
    except csv.Error as error:
        return DataError(f"{name}: {error}")
    missing = []
    for column, titles in _COLUMNS.items():
        if title := next((title for title in titles if title in head), None):
            head[head.index(title)] = column
        else:
            missing.append(repr(column))
    if missing:
        among = ", ".join(head) or "none"
        return DataError(f"{name}: no column {' and no '.join(missing)} among {among}")
    reader.fieldnames = head
    return reader


def _in_table(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """``(split, class, path)`` of each line of a CSV file."""
    from lt_core.data import listfile

    if isinstance(reader := _table(folder, name), DataError):
        raise reader

    def entries() -> Iterator[tuple]:
        for row in reader:
            fields = {column: (row[column] or "").strip() for column in reader.fieldnames}
            if not any(fields.values()):
                continue
            file, label, problem = fields["path"], fields["label"], None
            split = split_folder(fields["split"])
            if None in row.values():
                given = sum(value is not None for value in row.values())
                problem = "fields", f"{given} fields, expected {len(row)}"
            elif not is_image(file):
                problem = "suffix", f"{file} is no image by its name"
            elif not label:
                problem = "no label", f"{file} has no label"
            elif split is None:
                problem = "split", f"split {fields['split']!r} is none of train, val and test"
            yield f"line {reader.line_num}", file, (split, label), problem

    try:
        files, labels = listfile.checked(entries(), Path(name), folder)
    except csv.Error as error:  # such as a field of more than 131,072 characters
        raise DataError(f"{name}: {error}") from error
    return [(split, label, file) for file, (split, label) in zip(files, labels, strict=True)]
