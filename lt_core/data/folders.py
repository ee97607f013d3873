"""Image folders: ``train/CLASS/…``, ``test/CLASS/…``, and Stanford's TinyImageNet.

``tiny-imagenet-200`` keeps its validation images in one folder beside a file
of labels; they are what everyone tests on, since its test labels are secret.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.files import SUFFIXES, is_image, is_litter, natural_key, read_bytes, split_folder
from lt_core.data.source import Source, in_standard_order
from lt_core.errors import DataError

_ANNOTATIONS = "val_annotations.txt"


def candidates(
    info: DatasetInfo, place: Path, files: Sequence[str], split: str, read: Callable | None = None
) -> Iterator[partial[Source]]:
    """The image folders of ``split`` among ``files``, to be tried.

    ``files`` are relative to ``place``, a folder, or an archive from which
    ``read(path)`` gives a file's content.
    """
    read = read or (lambda path: read_bytes(place / path))
    if split == "test":
        for path in files:
            if posixpath.basename(path) == _ANNOTATIONS:
                yield partial(_annotated, info, place, path, files, read)
    splits: dict[str, dict[str, dict[str, list[str]]]] = {}  # split -> folder -> class -> files
    for path in files:
        parts = path.split("/")
        for depth, part in enumerate(parts[:-2]):
            if name := split_folder(part):  # the first: CIFAR-100 has a class `train`
                by_class = splits.setdefault(name, {}).setdefault("/".join(parts[: depth + 1]), {})
                by_class.setdefault(parts[depth + 1], []).append(path)
                break
    for name in ("train",) if split == "train" else ("test", "val"):
        # Test images whose labels are secret lie in one folder, which is no class.
        if any(len(by_class) > (split == "test") for by_class in splits.get(name, {}).values()):
            yield partial(_only, info, place, splits[name], split, read)
            return


def zipped(
    info: DatasetInfo, place: Path, files: Sequence[str], split: str
) -> Iterator[partial[Source]]:
    """The same in the published archive, which is read as it is."""
    for _, name in info.releases:
        if name.endswith(".zip"):
            for file in files:
                if posixpath.basename(file) == name:
                    yield partial(_open_zip, info, place / file, split)


def _open_zip(info: DatasetInfo, path: Path, split: str) -> Source:
    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path / name}: cannot be read ({error})") from error

    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cut or damaged archive ({error})") from error
    names = [name for name in archive.namelist() if not any(map(is_litter, name.split("/")))]
    for candidate in candidates(info, path, sorted(names), split, read):
        return candidate()
    raise DataError(f"{path}: no {split} images in this archive")


def _only(info, place, folders, split, read) -> Source:
    if len(folders) > 1:
        first, second, *_ = (place / name for name in folders)
        raise DataError(f"two folders of {split} images: {first} and {second}; remove one")
    ((name, by_class),) = folders.items()
    return _source(info, place, name, by_class, read)


def _annotated(info, place, path, files, read) -> Source:
    """Images in one folder, their classes in lines ``file TAB class TAB box``."""
    present, folder = set(files), posixpath.join(posixpath.dirname(path), "images")
    by_class: dict[str, list[str]] = {}
    lines = read(path).decode("utf-8-sig", errors="replace").rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        file, *fields = line.split("\t")
        if not fields or "/" in file:
            problem = f"is {line[:60]!r}, expected FILE TAB CLASS …"
        elif f"{folder}/{file}" not in present:
            problem = f"names {file}, which is not in {place / folder}"
        else:
            by_class.setdefault(fields[0], []).append(f"{folder}/{file}")
            continue
        raise DataError(f"{place / path}: line {number} {problem}")
    return _source(info, place, path, by_class, read)


def _source(
    info: DatasetInfo, place: Path, where: str, by_class: dict[str, list[str]], read: Callable
) -> Source:
    pictures = {
        name: sorted(filter(is_image, paths), key=natural_key)
        for name, paths in by_class.items()
        if any(map(is_image, paths))
    }
    names = sorted(pictures, key=natural_key)
    if not names:
        other = next((path for paths in by_class.values() for path in paths), "nothing")
        raise DataError(
            f"{place / where}: no images by their names ({', '.join(SUFFIXES)}), but {other}"
        )
    labels = np.repeat(np.arange(len(names)), [len(pictures[name]) for name in names])
    targets, class_names, label_map = in_standard_order(labels, names, info, place / where)
    order = np.argsort(targets, kind="stable")
    listed = [path for name in names for path in pictures[name]]
    listed = [listed[row] for row in order]

    def pixels(rows: np.ndarray) -> torch.Tensor:
        paths = [listed[row] for row in rows]
        return images.stack(
            lambda i: read(paths[i]), lambda i: place / paths[i], len(paths), info.image_shape
        )

    others = [path for paths in by_class.values() for path in paths if not is_image(path)]
    return Source(
        targets[order],
        class_names,
        pixels,
        files=(place if place.is_file() else place / where,),
        label_map=label_map,
        note=f"; {len(others)} files there are no images, such as {others[0]}" if others else "",
    )
