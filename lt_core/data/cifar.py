"""CIFAR-10 and CIFAR-100 as published: folders or archives, for Python or as binary records.

The files for Python are pickles, and unpickling runs code: each is opened only
after its MD5 has been found to be the published one, which torchvision knows.
torchvision's own reader does not say which file is damaged, wants the training
files for the test images too, and reads neither archives nor binary records.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import posixpath
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.data.files import found, read_bytes
from lt_core.data.source import Source, in_standard_order
from lt_core.errors import DataError

# Which column holds the labels, and the file that names them, in the releases for Python and in
# binary records.
_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
_META = {
    "cifar10": ("batches.meta", "batches.meta.txt"),
    "cifar100": ("meta", "fine_label_names.txt"),
}
_BINARY = {
    "cifar10": {
        "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
        "test": ["test_batch.bin"],
    },
    "cifar100": {"train": ["train.bin"], "test": ["test.bin"]},
}


def candidates(
    info: DatasetInfo, place: Path, files: Sequence[str], split: str, binary: bool, packed: bool
) -> Iterator[partial[Source]]:
    """The published folders of one release among ``files``, or (``packed``) its archives."""
    if info.name not in _META:
        return
    (folder, archive), meta = info.releases[binary], _META[info.name][binary]
    # As browsers call it, too: unzipped already, or fetched twice.
    archive = re.compile(rf"{archive.removesuffix('.tar.gz')}[ ()0-9]*\.(tar|tgz|tar\.gz)")
    paths = set()
    for file in files:
        above, name = posixpath.split(file)
        if packed and archive.fullmatch(name):
            paths.add(file)
        elif not packed and (name == meta or (place / above).name == folder):
            paths.add(above)
    for path in sorted(paths):
        yield partial(_binary if binary else _pickles, info, place / path, split)


def is_release(info: DatasetInfo, name: str) -> bool:
    """Whether a file of this name is one of a published folder of the data set."""
    return name in _META.get(info.name, ())


def _pickles(info: DatasetInfo, place: Path, split: str) -> Source:
    from torchvision import datasets  # it knows the names of the files and their MD5

    published = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[info.name]
    meta = published.meta["filename"]
    listed = {
        meta: published.meta["md5"],
        **dict(published.train_list if split == "train" else published.test_list),
    }
    files = _contents(place, listed)
    opened = {name: _unpickle(place / name, files[name], md5) for name, md5 in listed.items()}
    names = opened.pop(meta)[published.meta["key"]]
    labels = np.concatenate([content[_LABELS[info.name]] for content in opened.values()])
    pixels = np.concatenate([content["data"] for content in opened.values()])
    return _source(info, place, opened, names, labels, pixels)


def _binary(info: DatasetInfo, place: Path, split: str) -> Source:
    """Records of the coarse label (CIFAR-100 only), the label, and the pixels, a byte each."""
    meta, listed = _META[info.name][True], _BINARY[info.name][split]
    files = _contents(place, [meta, *listed])
    names = files.pop(meta).decode("utf-8", errors="replace").split()
    labels = 2 if info.name == "cifar100" else 1
    record = labels + int(np.prod(info.image_shape))
    for name, content in files.items():
        if len(content) % record:
            raise DataError(
                f"{place / name}: cut or another file, {len(content)} bytes are no multiple of "
                f"{record}"
            )
    rows = np.frombuffer(b"".join(files.values()), np.uint8).reshape(-1, record)
    return _source(info, place, files, names, rows[:, labels - 1], rows[:, labels:])


def _source(info, place, files, names, labels, pixels) -> Source:
    targets, class_names, label_map = in_standard_order(labels, names, info, place)
    pixels = pixels.reshape(-1, *info.image_shape)
    return Source(
        targets,
        class_names,
        read=lambda rows: torch.from_numpy(pixels[rows]),
        files=tuple(place / name for name in files) if place.is_dir() else (place,),
        label_map=label_map,
    )


def _contents(place: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Name -> content, from a folder or from the only folder in a compressed archive."""
    contents = {}
    if os.path.isdir(place):
        there = [name for name in names if os.path.exists(place / name)]
        contents = {name: read_bytes(place / name) for name in there}
    else:
        try:
            with tarfile.open(place) as archive:
                for member in archive:  # one pass: an archive cannot be read backwards
                    name = posixpath.basename(member.name)
                    if name in names and member.isfile():
                        contents[name] = archive.extractfile(member).read()
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            reason = str(error).partition("\n")[0].rstrip(":")
            raise DataError(f"{place}: cut or damaged archive ({reason})") from error
    for name in names:
        if name not in contents:
            inside = f"folder, {found(place)}" if os.path.isdir(place) else "archive"
            raise DataError(f"{place}: no {name} in this {inside}")
    return {name: contents[name] for name in names}


def _unpickle(path: Path, content: bytes, md5: str) -> dict:
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise DataError(f"{path}: damaged or another file, MD5 is {actual}, expected {md5}")
    with warnings.catch_warnings():
        # Written by Python 2 with integers where newer NumPy wants booleans.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        return pickle.loads(content, encoding="latin1")  # safe: the MD5 is the published one
