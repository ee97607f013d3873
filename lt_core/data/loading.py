"""From a data set's name to the images of one split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from lt_core.data import cifar, digits, downloading, folders, listfile, long_tail, own, parquet
from lt_core.data.catalog import DatasetInfo, info
from lt_core.data.dataset import Dataset
from lt_core.data.source import (
    Source,
    check_complete,
    found,
    listing,
    names_in,
    split_folder,
    split_of,
    unnamed,
)
from lt_core.errors import ConfigError, DataError, unknown
from lt_core.parameters import Range, convert

SPLITS = ("train", "val", "test")
_FIRST_SHARD_FACTOR = 10  # from here on a subset is cut from shard 0
_LARGEST_OVERLAP = 0.01  # of the test images


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
    download: bool = False,
) -> Dataset:
    """The images of one split of the data set ``name``.

    ``split="train"`` is cut to :func:`class_counts` images per class, drawn by
    ``subset_seed``: within one source a larger factor's images are among a
    smaller one's. ``split="test"`` is the whole test set at every factor.
    ``split="val"`` holds ``holdout`` training images of each class (0: the
    data set's own number), set aside before the profile is cut. It serves
    choices only, and is apart from the training images that are loaded with
    the same ``holdout``: their head is then ``head_count - holdout``.

    Sets that are long-tailed by nature are taken as listed, at factor 1; of a
    published list a smaller factor keeps at most that many times the images
    of the smallest class. Nothing is fetched unless ``download`` is true and the files are missing.

    Raises ConfigError for an argument and DataError for files that cannot be
    used, one line that says what was looked for, where, and how to get it.
    """
    described = info(name)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    long_tail.check_factor(imbalance_factor)
    subset_seed = convert("subset_seed", subset_seed, Annotated[int, Range(0)])
    holdout = convert("holdout", holdout, Annotated[int, Range(0)])
    root = data_root(root)
    if described.head_count is None:
        described.check_cut(imbalance_factor, holdout)
        if name.startswith(own.PREFIX):
            return own.load(name, split).validate()
        listed = listfile.load(described, _folder(described, root), split).validate()
        if split != "train" or imbalance_factor == 1:
            return listed
        return listfile.cut(listed, imbalance_factor, subset_seed)
    if split == "test":
        source = _open_source(described, root, "test", None, download)
        rows = np.arange(len(source.targets))
        imbalance_factor, subset_seed, holdout = 1, 0, 0
    else:
        if split == "val" and holdout == 0:
            holdout = described.holdout
        if holdout >= described.head_count:
            raise ConfigError(
                f"holdout must be below {described.head_count}, the images of {name}'s head, "
                f"got {holdout}"
            )
        counts = long_tail.class_counts(
            described.num_classes, described.head_count - holdout, imbalance_factor
        )
        enough = None
        if imbalance_factor >= _FIRST_SHARD_FACTOR:
            enough = [count + holdout for count in counts]
        source = _open_source(described, root, "train", enough, download)
        draw = long_tail.draw if split == "train" else long_tail.draw_holdout
        try:
            rows = draw(source.targets, counts, subset_seed, holdout)
        except DataError as error:
            raise DataError(
                f"{name} at imbalance factor {imbalance_factor:g}: {error} (read from "
                f"{', '.join(map(str, source.files)) or described.title})"
            ) from None
    return Dataset(
        name=name,
        split=split,
        images=source.read(rows),
        targets=torch.from_numpy(source.targets[rows]),
        class_names=source.class_names,
        indices=rows,
        imbalance_factor=imbalance_factor,
        subset_seed=subset_seed,
        holdout=holdout,
        files=source.files,
        label_map=source.label_map,
    ).validate()


def look_for(name: str, root: str | os.PathLike | None = None) -> None:
    """Raise the DataError that loading would, if ``root`` holds nothing of the data set ``name``.

    Reads no image. Sets that are taken as listed are not looked for.
    """
    described = info(name)
    if described.head_count is not None and name != "digits":
        _open_source(described, data_root(root), "test", None, False)


def load_train_test(
    name: str,
    imbalance_factor: float = 1,
    root: str | os.PathLike | None = None,
    subset_seed: int = 0,
    download: bool = False,
) -> tuple[Dataset, Dataset]:
    """Training and test images, compared with each other (:func:`check_apart`)."""
    train = load(name, "train", imbalance_factor, root, subset_seed, download=download)
    test = load(name, "test", root=root, download=download)
    check_apart(train, test)
    return train, test


def check_apart(train: Dataset, test: Dataset) -> int:
    """How many test images are also training images; it becomes both sets' ``overlap``.

    CIFAR-100 is published with ten such images, so a few are counted and not
    refused. Raises DataError for more than 1 % of the test images, which
    means that the wrong files were read, and for classes in another order.
    """
    named = not unnamed(train.class_names) and not unnamed(test.class_names)
    if train.num_classes != test.num_classes or (named and train.class_names != test.class_names):
        raise DataError(
            f"{train.name}: training and test files name different classes, "
            f"such as {_first_difference(train.class_names, test.class_names)}"
        )
    known = set(train.image_digests)
    overlap = sum(digest in known for digest in test.image_digests)
    if overlap > _LARGEST_OVERLAP * len(test):
        raise DataError(
            f"{train.name}: {overlap} of {len(test)} test images are training images too; check "
            f"{', '.join(str(file) for file in dict.fromkeys(train.files + test.files))}"
        )
    train.overlap = test.overlap = overlap
    return overlap


def _first_difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    pairs = zip(ours, theirs, strict=False)
    return next(
        (f"{a!r} and {b!r}" for a, b in pairs if a != b), f"{len(ours)} and {len(theirs)} of them"
    )


def _folder(described: DatasetInfo, root: Path) -> Path:
    """The data set's folder below ``root``, or ``root`` where that is the folder itself."""
    folder = root / described.name
    if names_in(folder) or not os.path.isdir(root):
        return folder
    if root.name in (described.name, *sum(described.releases, ())):
        return root
    for name in names_in(root):
        listed = name.lower().endswith((".parquet", ".txt", ".json"))
        if split_of(name) if listed else split_folder(name):
            return root
    return folder


def _places(described: DatasetInfo, root: Path) -> list[Path]:
    """Where the published folders and archives can lie; ``root`` may be one of them itself."""
    folder = _folder(described, root)
    above = [root.parent] if root.name in sum(described.releases, ()) else []
    return list(
        dict.fromkeys((folder, root, *above, *(folder / name for name in names_in(folder))))
    )


def _candidates(
    described: DatasetInfo, root: Path, split: str, enough: list[int] | None
) -> Iterator[Callable[[], Source]]:
    """What can be tried, in this order: published files, parquet, image folders, archives."""
    places = _places(described, root)
    yield from cifar.candidates(described, places, split, packed=False)
    folder = places[0]
    for place in (folder, *(root / name for name, _ in described.releases if folder != root)):
        if os.path.isdir(place):
            files = listing(place)
            yield from parquet.candidates(described, place, files, split, enough)
            yield from folders.candidates(described, place, files, split)
    yield from cifar.candidates(described, places, split, packed=True)
    yield from folders.zipped(described, places, split)


def _first_source(
    described: DatasetInfo, root: Path, split: str, enough: list[int] | None
) -> Source | DataError:
    """The first candidate that can be read, or what is wrong with those that were found."""
    problems = []
    for candidate in _candidates(described, root, split, enough):
        try:
            source = candidate()
            # A test set that is not complete would give numbers nobody can compare.
            return (
                check_complete(source, described.test_count, split) if split == "test" else source
            )
        except DataError as error:
            problems.append(str(error))
    folder = _folder(described, root)
    problems = problems or [f"no {split} images in {folder}, {found(folder)}"]
    return DataError(f"{described.name}: {'; '.join(problems)}")


def _open_source(
    described: DatasetInfo, root: Path, split: str, enough: list[int] | None, download: bool
) -> Source:
    if described.name == "digits":
        return digits.open_source(described, split)
    source = _first_source(described, root, split, enough)
    if isinstance(source, Source):
        return source
    places = _places(described, root)
    advice = f"put {described.how_to_get} into {places[0]}"
    if download:
        names = sum(described.releases[:1], ())
        there = [place for place in places if any(os.path.exists(place / name) for name in names)]
        place = (there or places)[0]
        try:
            downloading.download(described, place)
        except DataError as error:
            raise DataError(f"{source}; {error}") from error
        source = _first_source(described, root, split, enough)
        if isinstance(source, Source):
            return source
        advice = f"delete {place / names[0]} and call again, or {advice}"
    elif described.releases:
        advice = f"call with download=True (lt-core: --download), or {advice}"
    raise DataError(
        f"{source}; {advice} (LT_DATA_ROOT or --data-root names the folder that holds "
        f"{described.name}/)"
    )
