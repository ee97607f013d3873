"""Image folders: ``train/CLASS/…``, ``test/CLASS/…``, and Stanford's TinyImageNet.

``tiny-imagenet-200`` keeps its validation images in one folder beside a file
of labels; they are what everyone tests on, since its test labels are secret.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.source import (
    Source,
    is_litter,
    natural_key,
    split_folder,
    standard_classes,
    unless_identity,
)
from lt_core.errors import DataError

_ANNOTATIONS = "val_annotations.txt"
ByClass = dict[str, list[str]]


def candidates(
    info: DatasetInfo, place: Path, files: Sequence[str], split: str, read=None
) -> Iterator[partial[Source]]:
    """The image folders of ``split`` among ``files``, to be tried.

    ``files`` are relative to ``place``, a folder, or an archive from which
    ``read(path)`` gives a file's content.
    """
    read = read or (lambda path: images.read_bytes(place / path))
    if split == "test":
        for path in files:
            if PurePosixPath(path).name == _ANNOTATIONS:
                yield partial(_annotated, info, place, path, files, read)
    splits: dict[str | None, dict[str, ByClass]] = {}
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
            yield partial(_open, info, place, splits[name], split, read)
            return


def zipped(info: DatasetInfo, places: Sequence[Path], split: str) -> Iterator[partial[Source]]:
    """The same in the published archive, which is read as it is."""
    for place in places:
        for _, name in info.releases:
            if name.endswith(".zip") and (place / name).is_file():
                yield partial(_open_zip, info, place / name, split)


def _open_zip(info: DatasetInfo, path: Path, split: str) -> Source:
    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise DataError(f"{path / name}: cannot be read ({error})") from error

    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cut or damaged archive ({error})") from error
    names = [name for name in archive.namelist() if not any(map(is_litter, name.split("/")))]
    for candidate in candidates(info, path, sorted(names), split, read):
        return candidate()
    raise DataError(f"{path}: no {split} images in this archive")


def _open(
    info: DatasetInfo, place: Path, found: dict[str, ByClass], split: str, read: Callable
) -> Source:
    if len(found) > 1:
        first, second, *_ = (place / name for name in found)
        raise DataError(f"two folders of {split} images: {first} and {second}; remove one")
    ((name, by_class),) = found.items()
    return _source(info, place, name, by_class, split, read)


def _annotated(
    info: DatasetInfo, place: Path, path: str, files: Sequence[str], read: Callable
) -> Source:
    """Images in one folder, their classes in lines ``file TAB class TAB box``."""
    present, folder = set(files), PurePosixPath(path).parent
    by_class: ByClass = {}
    lines = read(path).decode("utf-8-sig", errors="replace").rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        image = str(folder / "images" / fields[0])
        if len(fields) < 2 or "/" in fields[0]:
            problem = f"is {line[:60]!r}, expected FILE TAB CLASS …"
        elif image not in present:
            problem = f"names {fields[0]}, which is not in {place / folder / 'images'}"
        else:
            by_class.setdefault(fields[1], []).append(image)
            continue
        raise DataError(f"{place / path}: line {number} {problem}")
    return _source(info, place, path, by_class, "test", read)


def _source(
    info: DatasetInfo, place: Path, where: str, by_class: ByClass, split: str, read: Callable
) -> Source:
    pictures = {name: list(filter(_is_image, paths)) for name, paths in by_class.items()}
    names = sorted((name for name in pictures if pictures[name]), key=natural_key)
    if not names:
        other = next((path for paths in by_class.values() for path in paths), "nothing")
        raise DataError(
            f"{place / where}: no images by their names ({', '.join(sorted(images.SUFFIXES))}), "
            f"but {other}"
        )
    class_names, label_map = standard_classes(names, info, place / where)
    chosen, targets = [], []
    for name, label in sorted(zip(names, label_map, strict=True), key=lambda pair: pair[1]):
        paths = sorted(pictures[name], key=natural_key)
        count = info.head_count if split == "train" else info.test_count
        if len(paths) != count:
            others = sorted(set(by_class[name]) - set(paths))
            beside = f" (and {len(others)} other files such as {others[0]})" if others else ""
            raise DataError(
                f"{place / where}: class {name} has {len(paths)} images{beside}, "
                f"the complete class has {count}"
            )
        chosen += paths
        targets += [label] * len(paths)

    def pixels(rows: np.ndarray) -> torch.Tensor:
        size = info.image_shape[1:]
        paths = [chosen[row] for row in rows]
        decoded = images.stack(
            lambda i: read(paths[i]), lambda i: str(place / paths[i]), len(paths), *size
        )
        return torch.from_numpy(decoded)

    return Source(
        np.asarray(targets, dtype=np.int64),
        class_names,
        pixels,
        (place if place.is_file() else place / where,),
        unless_identity(label_map),
    )


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in images.SUFFIXES
