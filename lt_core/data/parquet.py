"""Parquet shards in the layout of Hugging Face's ``datasets``.

One file a shard, ``SPLIT-00000-of-00002.parquet``, anywhere below the data
set's folder: an image column ``struct<bytes, path>`` of encoded files, an
integer label column, class names in the schema's metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lt_core.data import images
from lt_core.data.catalog import DatasetInfo
from lt_core.data.source import Source, standard_classes, to_standard, unless_identity
from lt_core.errors import DataError

_SHARD = re.compile(r"(\w+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet")
_SPLITS = {"train": ("train",), "test": ("test", "valid", "validation", "val")}
_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("fine_label", "label")


def open_source(
    info: DatasetInfo, folder: Path, split: str, enough: Sequence[int] | None = None
) -> Source | None:
    """The shards of ``split`` below ``folder``, or None where there are none.

    Where ``enough`` (images a class) is given and shard 0 holds that many,
    shard 0 alone is read, even beside others: machines with and without the
    other shards then draw the same images. Otherwise every shard is needed.
    """
    shards, total = _find(folder, split)
    if not shards:
        return None
    if 0 in shards and enough is not None:
        first = _open([shards[0]], info)
        counts = np.bincount(first.targets, minlength=info.num_classes)
        if total == 1 or (counts >= np.asarray(enough)).all():
            return first
    missing = sorted(set(range(total)) - set(shards))
    if missing:
        present = next(iter(shards.values()))
        name = re.sub(r"-\d{5}-of-", f"-{missing[0]:05d}-of-", present.name)
        raise DataError(
            f"{info.name}: {present.parent / name} is missing, {len(shards)} of {total} shards are "
            "there; a subset of factor 10 or more may need shard 0 only, this one needs all"
        )
    return _open([shards[k] for k in sorted(shards)], info)


def _find(folder: Path, split: str) -> tuple[dict[int, Path], int]:
    """Shard number -> file, and how many shards there should be."""
    matches = [(path, _SHARD.fullmatch(path.name)) for path in sorted(folder.rglob("*.parquet"))]
    present = {match[1] for _, match in matches if match}
    wanted = next((name for name in _SPLITS[split] if name in present), None)
    shards: dict[int, Path] = {}
    totals = set()
    for path, match in matches:
        if match is None or match[1] != wanted:
            continue
        number = int(match[2])
        if number in shards:
            raise DataError(f"two files for one shard: {shards[number]} and {path}; remove one")
        shards[number] = path
        totals.add(int(match[3]))
    if len(totals) > 1:
        raise DataError(f"{folder}: {split} shards of different sets, of {sorted(totals)} files")
    return shards, totals.pop() if totals else 0


def _open(paths: list[Path], info: DatasetInfo) -> Source:
    tables = [_read(path) for path in paths]
    maps, targets = [], []
    for path, table in zip(paths, tables, strict=True):
        names, label_map = standard_classes(_class_names(table, info), info, path)
        targets.append(to_standard(table["label"].to_numpy(), label_map, path))
        maps.append(label_map)
    start = np.cumsum([0, *(len(table) for table in tables)])
    encoded = pa.chunked_array([chunk for table in tables for chunk in table["image"].chunks])

    def name(row: int) -> str:
        shard = int(np.searchsorted(start, row, side="right")) - 1
        return f"{paths[shard]}: row {row - start[shard]}"

    def read(rows: np.ndarray) -> torch.Tensor:
        chosen = encoded.take(pa.array(rows)).to_pylist()
        height, width = info.image_shape[1:]
        pixels = images.stack(chosen.__getitem__, lambda i: name(rows[i]), len(rows), height, width)
        return torch.from_numpy(pixels)

    return Source(np.concatenate(targets), names, read, tuple(paths), unless_identity(maps[0]))


def _read(path: Path) -> pa.Table:
    """Columns ``image`` (encoded bytes) and ``label`` (int64), without gaps."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns = set(file.schema_arrow.names)
            image = _column(columns, _IMAGE_COLUMNS, "image", path)
            label = _column(columns, _LABEL_COLUMNS, "label", path)
            table = file.read([image, label])
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as parquet ({_first_line(error)}); get the file again"
        ) from error
    encoded, labels = table[image], table[label]
    if pa.types.is_struct(encoded.type) and "bytes" in encoded.type.names:
        encoded = pa.chunked_array(
            [chunk.flatten()[chunk.type.get_field_index("bytes")] for chunk in encoded.chunks],
            pa.binary(),
        )
    if not pa.types.is_binary(encoded.type) and not pa.types.is_large_binary(encoded.type):
        raise DataError(f"{path}: column {image!r} is {encoded.type}, expected struct<bytes, path>")
    if not pa.types.is_integer(labels.type):
        raise DataError(f"{path}: column {label!r} is {labels.type}, expected integers")
    for column, values in ((label, labels), (image, encoded)):
        if values.null_count:
            row = values.is_null().to_numpy().argmax()
            raise DataError(
                f"{path}: row {row} has no {column}, {values.null_count} such rows; "
                "get the file again"
            )
    return pa.table(
        {"image": encoded, "label": labels.cast(pa.int64())},
        metadata=_names_of(table.schema.metadata, label),
    )


def _column(columns: set[str], known: Sequence[str], kind: str, path: Path) -> str:
    for name in known:
        if name in columns:
            return name
    raise DataError(
        f"{path}: no {kind} column, expected {' or '.join(known)}, "
        f"the file has {', '.join(sorted(columns))}"
    )


def _names_of(metadata: dict | None, label: str) -> dict | None:
    """The schema's names of the label column, kept as this module's own metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {"names": json.dumps(features[label]["names"])}
    except (KeyError, TypeError, ValueError):
        return None


def _class_names(table: pa.Table, info: DatasetInfo) -> list[str]:
    """The schema's class names; without any, labels are taken as the standard order."""
    metadata = table.schema.metadata or {}
    if b"names" in metadata:
        return json.loads(metadata[b"names"])
    return [str(c) for c in range(info.num_classes)]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
