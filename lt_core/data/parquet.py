"""Parquet files in the layout of Hugging Face's ``datasets``.

One file a shard, anywhere below the data set's folder, whose split stands in
its name or in a folder's: ``train-00000-of-00002.parquet``, ``train.parquet``,
``train/0000.parquet``. An image column ``struct<bytes, path>`` of encoded
files (or of their bytes alone, in any of Arrow's types), a label column,
class names in the schema's metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.files import natural_key, split_of
from lt_core.data.source import Source, in_standard_order, unnamed
from lt_core.errors import DataError

# The number of a shard, of how many where it says so, and what follows.
_NUMBER = re.compile(r"(?<![0-9a-zA-Z])(\d+)(?:-of-(\d+)(?:-[0-9a-f]+)?)?$")
_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("fine_label", "label")


def candidates(
    info: DatasetInfo, place: Path, files: Sequence[str], split: str, enough: Sequence[int] | None
) -> Iterator[partial[Source]]:
    """The parquet files of ``split`` among ``files``, to be tried.

    Where ``enough`` (images per class) is given and shard 0 holds that many,
    shard 0 alone is read, even beside others: machines with and without the
    other shards then draw the same images. Otherwise every shard is needed.
    """
    splits: dict[str | None, list[Path]] = {}
    for file in files:
        if file.lower().endswith(".parquet"):
            splits.setdefault(split_of(file), []).append(place / file)
    shards = splits.get(split, [])
    if split == "test" and "val" in splits and all(_unlabelled(path) for path in shards):
        shards = splits["val"]
    if shards:
        yield partial(_open_shards, info, shards, split, enough)


def _open_shards(
    info: DatasetInfo, paths: list[Path], split: str, enough: Sequence[int] | None
) -> Source:
    shards, sets = {}, {}
    for path in paths:
        match = _NUMBER.search(path.stem)
        number, total = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
        kind = path.stem[: match.start()] if match else path.stem
        sets.setdefault((path.parent, kind, total), path)
        shards[number] = path
    if len(sets) > 1:
        first, second, *_ = sets.values()
        raise DataError(
            f"{split} shards of different sets, such as {first} and {second}; remove one of the two"
        )
    ((folder, _, total),) = sets
    if enough is not None and min(shards) == 0:
        first = _open([shards[0]], info)
        counts = np.bincount(first.targets, minlength=info.num_classes)
        if len(shards) == (total or 1) or (counts >= np.asarray(enough)).all():
            return first
    wanted = range(total) if total else range(min(shards), max(shards) + 1)
    missing = [number for number in wanted if number not in shards]
    if missing:
        name = _NUMBER.sub(
            lambda match: match[0].replace(match[1], f"{missing[0]:0{len(match[1])}d}", 1),
            shards[min(shards)].stem,
        )
        raise DataError(
            f"{info.name}: {folder / name}.parquet is missing, {len(shards)} of {len(wanted)} "
            "shards are there; a subset of factor 10 or more may need shard 0 only, this one "
            "needs all"
        )
    return _open([shards[number] for number in sorted(shards)], info)


def _open(paths: list[Path], info: DatasetInfo) -> Source:
    columns, targets, maps, class_names = [], [], [], None
    for path in paths:
        encoded, labels, names = _read(path)
        names = names or [str(c) for c in range(info.num_classes)]
        classes, names, label_map = in_standard_order(labels, names, info, path)
        if class_names is None or unnamed(class_names):
            class_names = names
        elif not unnamed(names) and names != class_names:
            raise DataError(f"{path}: other classes than in {paths[0]}")
        columns.append(encoded)
        targets.append(classes)
        maps.append(label_map)
    start = np.cumsum([0, *map(len, targets)])

    def read(rows: np.ndarray) -> torch.Tensor:
        cells = [cell for column in columns for cell in column.to_pylist()]

        def name(i: int) -> str:
            shard = np.searchsorted(start, rows[i], side="right") - 1
            return f"{paths[shard]}: row {rows[i] - start[shard]}"

        def fetch(i: int) -> bytes:
            return _bytes(cells[rows[i]]) or b""

        return images.stack(fetch, name, len(rows), info.image_shape)

    return Source(np.concatenate(targets), class_names, read, tuple(paths), maps[0], shards=True)


def _read(path: Path) -> tuple[pa.ChunkedArray, np.ndarray, list[str] | None]:
    """Encoded images, labels and the names of the labels, where the file has them."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            present = file.schema_arrow.names
            image = _column(present, _IMAGE_COLUMNS, "image", path)
            label = _column(present, _LABEL_COLUMNS, "label", path)
            table = file.read([image, label])
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as parquet ({_first_line(error)}); get the file again"
        ) from error
    encoded, labels = table[image], table[label]
    if pa.types.is_struct(encoded.type) and "bytes" in [field.name for field in encoded.type]:
        encoded = pc.struct_field(encoded, "bytes")
    for name, column in ((label, labels), (image, encoded)):
        empty = column.is_null().to_numpy()
        if empty.any():
            raise DataError(
                f"{path}: row {empty.argmax()} has no {name}, {empty.sum()} such rows; "
                "get the file again"
            )
    if len(table) and _bytes(encoded[0].as_py()) is None:
        raise DataError(
            f"{path}: column {image!r} is {table[image].type}, expected struct<bytes, path>, "
            "encoded image files"
        )
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    names = _names(table.schema.metadata, label)
    try:
        if pa.types.is_string(labels.type) or pa.types.is_large_string(labels.type):
            names = sorted(labels.unique().to_pylist(), key=natural_key)
            number = {name: c for c, name in enumerate(names)}
            return encoded, np.array([number[name] for name in labels.to_pylist()]), names
        if pa.types.is_boolean(labels.type):
            raise TypeError("truth values are none")
        return encoded, labels.cast(pa.int64()).to_numpy(), names
    except (pa.ArrowException, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: column {label!r} is {labels.type}, expected whole numbers or names "
            f"({_first_line(error)})"
        ) from error


def _bytes(value: object) -> bytes | None:
    """The encoded image in a cell: bytes, or a list of their numbers."""
    try:
        return bytes(value) if isinstance(value, bytes | list) else None
    except (TypeError, ValueError):
        return None


def _unlabelled(path: Path) -> bool:
    """Whether these are test images whose labels are kept secret: none, or all -1."""
    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in _LABEL_COLUMNS if name in file.schema_arrow.names]
            labels = file.read(columns).to_pydict().values()
    except (pa.ArrowException, OSError):
        return False
    return all(value in (None, -1) for column in labels for value in column)


def _column(present: list[str], known: Sequence[str], kind: str, path: Path) -> str:
    for name in known:
        if present.count(name) == 1:
            return name
    raise DataError(
        f"{path}: no {kind} column, expected {' or '.join(known)}, "
        f"the file has {', '.join(sorted(present))}"
    )


def _names(metadata: dict | None, label: str) -> list[str] | None:
    """The names of the label column in the schema's metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        names = list(features[label]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if names and all(isinstance(name, str) for name in names) else None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
