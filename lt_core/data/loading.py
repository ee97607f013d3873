"""From a data set's name to the images of one split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from lt_core.data import digits, long_tail, parquet
from lt_core.data.catalog import DatasetInfo, info
from lt_core.data.dataset import Dataset
from lt_core.data.long_tail import whole_number
from lt_core.data.source import Source
from lt_core.errors import DataError, unknown

SPLITS = ("train", "val", "test")
_FIRST_SHARD_FACTOR = 10  # from here on a subset is cut from shard 0


def data_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that holds ``cifar10/`` and so on.

    ``root`` if given, else the environment's ``LT_DATA_ROOT``, else
    ``lt_core`` in the user's cache folder.
    """
    if root is not None:
        return Path(root).expanduser()
    if os.environ.get("LT_DATA_ROOT"):
        return Path(os.environ["LT_DATA_ROOT"]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "lt_core"


def load(
    name: str,
    split: str,
    imbalance_factor: float = 1,
    root: str | os.PathLike | None = None,
    subset_seed: int = 0,
    holdout: int = 0,
) -> Dataset:
    """The images of one split of the data set ``name``.

    ``split="train"`` is cut to :func:`class_counts` images a class, drawn by
    ``subset_seed``: within one source a larger factor's images are among a
    smaller one's. ``split="test"`` is the whole test set at every factor.
    ``split="val"`` holds ``holdout`` training images of each class (0: the
    data set's own number), set aside before the profile is cut. It serves
    choices only, and is apart from the training images that are loaded with
    the same ``holdout``: their head is then ``head_count - holdout``.

    Raises ConfigError for an argument and DataError for files that cannot be
    used, one line that says what was looked for, where, and how to get it.
    """
    described = info(name)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    long_tail.check_factor(imbalance_factor)
    whole_number("subset_seed", subset_seed, at_least=0)
    whole_number("holdout", holdout, at_least=0)
    if split == "test":
        source = _open_source(described, "test", data_root(root))
        rows = np.arange(len(source.targets))
    else:
        if split == "val" and holdout == 0:
            holdout = described.holdout
        counts = long_tail.class_counts(
            described.num_classes, described.head_count - holdout, imbalance_factor
        )
        enough = None
        if imbalance_factor >= _FIRST_SHARD_FACTOR:
            enough = [count + holdout for count in counts]
        source = _open_source(described, "train", data_root(root), enough)
        draw = long_tail.draw if split == "train" else long_tail.draw_holdout
        try:
            rows = draw(source.targets, counts, subset_seed, holdout)
        except DataError as error:
            raise DataError(
                f"{name} at imbalance factor {imbalance_factor:g}: {error} "
                f"({', '.join(map(str, source.files)) or described.title})"
            ) from None
    targets = source.targets[rows]
    return Dataset(
        name=name,
        split=split,
        images=source.read(rows),
        targets=torch.from_numpy(targets),
        class_names=source.class_names,
        indices=rows,
        imbalance_factor=1 if split == "test" else imbalance_factor,
        subset_seed=0 if split == "test" else subset_seed,
        holdout=0 if split == "test" else holdout,
        files=source.files,
        label_map=source.label_map,
    ).validate()


def _open_source(
    described: DatasetInfo, split: str, root: Path, enough: list[int] | None = None
) -> Source:
    if described.name == "digits":
        return digits.open_source(described, split)
    folder = root / described.name
    if not folder.is_dir() and root.name == described.name:
        folder = root
    source = parquet.open_source(described, folder, split, enough)
    if source is None:
        raise DataError(
            f"{described.name}: no {split} images in {folder}; {described.how_to_get} "
            "(LT_DATA_ROOT or --data-root names the folder above)"
        )
    return source
