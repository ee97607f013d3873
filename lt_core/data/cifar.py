"""CIFAR-10 and CIFAR-100 as torchvision downloads them.

The published files are pickles, and unpickling runs code: each is opened only
after its MD5 has been found to be the published one.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.data.source import Source, standard_classes, to_standard, unless_identity
from lt_core.errors import DataError

_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def open_source(info: DatasetInfo, folder: Path, split: str) -> Source | None:
    """The batches of ``split`` in ``folder``, or None where their folder is not there."""
    if info.name not in _LABELS:
        return None
    batches = folder / _FOLDERS[info.name]
    if not batches.is_dir():
        return None
    published = _published(info.name)
    listed = published.train_list if split == "train" else published.test_list
    names = _unpickle(batches / published.meta["filename"], published.meta["md5"])
    contents = [_unpickle(batches / file, md5) for file, md5 in listed]
    where = batches / listed[0][0]
    class_names, label_map = standard_classes(names[published.meta["key"]], info, where)
    labels = np.concatenate([content[_LABELS[info.name]] for content in contents])
    pixels = np.concatenate([content["data"] for content in contents])
    pixels = pixels.reshape(-1, *info.image_shape)
    return Source(
        targets=to_standard(labels, label_map, where),
        class_names=class_names,
        read=lambda rows: torch.from_numpy(pixels[rows]),
        files=tuple(batches / file for file, _ in listed),
        label_map=unless_identity(label_map),
    )


def _published(name: str):
    """torchvision's class: it knows the names of the files and their MD5."""
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]


def _unpickle(path: Path, md5: str) -> dict:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}), expected the file with "
            f"MD5 {md5}; download the data set again"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: damaged or another file, MD5 is {found}, expected {md5}; "
            "download the data set again"
        )
    with warnings.catch_warnings():
        # Written by Python 2 with integers where newer NumPy wants booleans.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        return pickle.loads(content, encoding="latin1")  # safe: the MD5 is the published one
