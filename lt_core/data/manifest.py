"""Publishing which images a subset holds, so that others train on the same.

Row numbers depend on the files they were counted in. The digests depend on
the pixels alone, so they find the images in any copy of the data set.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from lt_core import write_atomically
from lt_core.data.dataset import Dataset
from lt_core.errors import DataError, StoreError

_DIGEST_LENGTH = 10  # hex digits of each SHA-256: enough to tell 5,000 images of a class apart
_LARGEST_PLAIN = 300_000  # bytes; beyond it the file is compressed
_FIELDS = {
    "dataset": str,
    "split": str,
    "imbalance_factor": int | float,
    "subset_seed": int,
    "holdout": int,
    "class_counts": list,
    "sha256": str,
    "indices": list,
    "images": list,
}


def subset_manifest(dataset: Dataset) -> dict:
    """What identifies the images of ``dataset``, in plain types.

    Images stand class by class, ``class_counts`` of each. ``indices`` are
    rows of the source ``files`` (concatenated in that order); ``images`` begin
    the SHA-256 of each image's pixels, uint8 in (C, H, W) order, or of its
    path where the data set is a list of files; ``sha256`` is the hash over
    labels and pixels that every run records.
    """
    order = np.argsort(dataset.targets.numpy(), kind="stable")
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "imbalance_factor": dataset.imbalance_factor,
        "subset_seed": dataset.subset_seed,
        "holdout": dataset.holdout,
        "class_names": list(dataset.class_names),
        "class_counts": dataset.class_counts,
        "sha256": dataset.sha256,
        "files": {file.name: _file_sha256(file) for file in dataset.files if file.is_file()},
        "indices": dataset.indices[order].tolist(),
        "images": [dataset.image_digests[row].hex()[:_DIGEST_LENGTH] for row in order],
    }


def write_subset(dataset: Dataset, folder: str | os.PathLike = "results/subsets") -> Path:
    """Write the manifest to ``NAME_FACTOR_SEED.json``, compressed (``.gz``) if it is long.

    The name goes on with the split where it is another than ``train``, and with
    the holdout where there is one: ``cifar10_100_0_val_holdout50.json``. A
    manifest of other images is never overwritten: it raises StoreError.
    """
    manifest = subset_manifest(dataset)
    factor = float(dataset.imbalance_factor)
    short = f"{factor:g}"
    stem = f"{dataset.name}_{short if float(short) == factor else factor}_{dataset.subset_seed}"
    stem += f"_{dataset.split}" if dataset.split != "train" else ""
    stem += f"_holdout{dataset.holdout}" if dataset.holdout else ""
    for path in (Path(folder) / f"{stem}.json", Path(folder) / f"{stem}.json.gz"):
        if path.exists() and read_subset(path)["sha256"] != manifest["sha256"]:
            raise StoreError(
                f"{path} lists other images than these, which come from "
                f"{', '.join(map(str, dataset.files)) or dataset.name}; name another folder"
            )
    content = (json.dumps(manifest, separators=(",", ":")) + "\n").encode()
    path = Path(folder) / f"{stem}.json"
    if len(content) > _LARGEST_PLAIN:
        content = gzip.compress(content, mtime=0)  # no clock: the same bytes every time
        path = path.with_name(f"{stem}.json.gz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def read_subset(path: str | os.PathLike) -> dict:
    """A manifest as :func:`write_subset` wrote it; what is not one raises DataError."""
    path = Path(path)
    try:
        content = path.read_bytes()
        manifest = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        for key, kind in _FIELDS.items():
            if not isinstance(manifest[key], kind):
                raise ValueError(f"{key} is {str(manifest[key])[:40]!r}")
        if not all(isinstance(count, int) and count >= 0 for count in manifest["class_counts"]):
            raise ValueError("class_counts are not all numbers of images")
        if not len(manifest["indices"]) == len(manifest["images"]) == sum(manifest["class_counts"]):
            raise ValueError("indices, images and class_counts differ in length")
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ) as error:
        raise DataError(f"{path}: not a subset manifest ({error}); get it again") from error
    return manifest


def select(dataset: Dataset, manifest: dict) -> Dataset:
    """The images of ``manifest``, found by class and pixels among those of ``dataset``.

    ``dataset`` is usually the balanced training set from other files, whose
    classes may be spelled in another way or have no names. Raises DataError
    where it lacks an image or the result has another hash.
    """
    counts = manifest["class_counts"]
    if len(counts) != dataset.num_classes:
        raise DataError(
            f"{dataset.name}: {dataset.num_classes} classes, but the manifest is one of "
            f"{manifest['dataset']} with {len(counts)}"
        )
    present = [digest.hex()[:_DIGEST_LENGTH] for digest in dataset.image_digests]
    rows_of = defaultdict(list)
    for row, found in enumerate(zip(dataset.targets.tolist(), present, strict=True)):
        rows_of[found].append(row)
    labels = np.repeat(np.arange(len(counts)), counts).tolist()
    rows, missing = [], []
    for wanted in zip(labels, manifest["images"], strict=True):
        if rows_of[wanted]:
            rows.append(rows_of[wanted].pop(0))  # identical images are used up one by one
        else:
            missing.append(wanted[1])
    if missing:
        hint = "load the complete training set"
        elsewhere = np.isin(missing, present).sum()
        if elsewhere:
            hint = f"{elsewhere} of them have another class here: are the labels in another order?"
        raise DataError(
            f"{dataset.name}: {len(missing)} of {len(labels)} images of the manifest are "
            f"not among these {len(dataset)}; {hint}"
        )
    fields = ("split", "imbalance_factor", "subset_seed", "holdout")
    chosen = dataset.take(rows, **{field: manifest[field] for field in fields}).validate()
    if chosen.sha256 != manifest["sha256"]:
        raise DataError(
            f"{dataset.name}: the images found hash to {chosen.sha256}, the manifest says "
            f"{manifest['sha256']}; one of the two is damaged"
        )
    return chosen


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
