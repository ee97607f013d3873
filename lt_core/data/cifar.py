"""CIFAR-10 and CIFAR-100 as published: folders or archives, for Python or as binary records.

The files for Python are pickles, and unpickling runs code: each is opened only
after its MD5 has been found to be the published one.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.source import (
    Source,
    check_complete,
    found,
    names_in,
    standard_classes,
    to_standard,
    unless_identity,
)
from lt_core.errors import DataError

_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
_META = {"cifar10": "batches.meta", "cifar100": "meta"}
# Files of the binary release: training images, test images, class names.
_BINARY = {
    "cifar10": (
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        "batches.meta.txt",
    ),
    "cifar100": (("train.bin",), ("test.bin",), "fine_label_names.txt"),
}


def candidates(
    info: DatasetInfo, places: Sequence[Path], split: str, packed: bool
) -> Iterator[partial[Source]]:
    """What can be tried for ``split``: Python's folder, or (``packed``) the other releases."""
    if info.name not in _LABELS:
        return
    (python, python_archive), (binary, binary_archive) = info.releases
    archives = ((python_archive, _pickles), (binary_archive, _binary)) if packed else ()
    for name, read in ((binary, _binary), *archives) if packed else ((python, _pickles),):
        for place in places:
            if os.path.exists(place / name):
                yield partial(read, info, place / name, split)
    for archive, read in archives:  # as browsers call it: unzipped already, or fetched twice
        stem = archive.removesuffix(".tar.gz")
        for place in places:
            for name in names_in(place):
                if name != archive and re.fullmatch(rf"{stem}[ ()0-9]*\.(tar|tgz|tar\.gz)", name):
                    yield partial(read, info, place / name, split)
    for place in places:  # their files without their folder
        if place.name not in (python, binary) and os.path.isdir(place):
            read = _binary if packed else _pickles
            if os.path.exists(place / (_BINARY[info.name][2] if packed else _META[info.name])):
                yield partial(read, info, place, split)


def _pickles(info: DatasetInfo, place: Path, split: str) -> Source:
    from torchvision import datasets  # it knows the names of the files and their MD5

    published = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[info.name]
    listed = dict(published.train_list if split == "train" else published.test_list)
    meta = published.meta["filename"]
    listed = {meta: published.meta["md5"], **listed}
    files = _contents(place, listed)
    opened = {name: _unpickle(place / name, files[name], md5) for name, md5 in listed.items()}
    names = opened.pop(meta)[published.meta["key"]]
    labels = np.concatenate([content[_LABELS[info.name]] for content in opened.values()])
    pixels = np.concatenate([content["data"] for content in opened.values()])
    return _source(info, place, tuple(opened), names, labels, pixels)


def _binary(info: DatasetInfo, place: Path, split: str) -> Source:
    """Records of the coarse label (CIFAR-100 only), the label, and the pixels, a byte each."""
    train, test, meta = _BINARY[info.name]
    listed = train if split == "train" else test
    files = _contents(place, (meta, *listed))
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
    source = _source(info, place, listed, names, rows[:, labels - 1], rows[:, labels:])
    return check_complete(source, info.head_count, "training") if split == "train" else source


def _source(info, place, files, names, labels, pixels) -> Source:
    class_names, label_map = standard_classes(names, info, place)
    pixels = pixels.reshape(-1, *info.image_shape)
    return Source(
        targets=to_standard(labels, label_map, place),
        class_names=class_names,
        read=lambda rows: torch.from_numpy(pixels[rows]),
        files=tuple(place / name for name in files) if place.is_dir() else (place,),
        label_map=unless_identity(label_map),
    )


def _contents(place: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Name -> content, from a folder or from the only folder in a compressed archive."""
    if os.path.isdir(place):
        for name in names:
            if not os.path.exists(place / name):
                raise DataError(f"{place}: no {name} in this folder, {found(place)}")
        return {name: images.read_bytes(place / name) for name in names}
    contents = {}
    try:
        with tarfile.open(place) as archive:
            for member in archive:  # one pass: an archive cannot be read backwards
                name = Path(member.name).name
                if name in names and member.isfile():
                    contents[name] = archive.extractfile(member).read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"{place}: cut or damaged archive ({reason})") from error
    for name in names:
        if name not in contents:
            raise DataError(f"{place}: no {name} in this archive")
    return {name: contents[name] for name in names}


def _unpickle(path: Path, content: bytes, md5: str) -> dict:
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise DataError(f"{path}: damaged or another file, MD5 is {actual}, expected {md5}")
    with warnings.catch_warnings():
        # Written by Python 2 with integers where newer NumPy wants booleans.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        return pickle.loads(content, encoding="latin1")  # safe: the MD5 is the published one
