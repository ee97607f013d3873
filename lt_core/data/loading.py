"""From a data set's name to the images of one split."""

from __future__ import annotations

import http.client
import os
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from lt_core.data import cifar, digits, folders, listfile, long_tail, own, parquet
from lt_core.data.catalog import DatasetInfo, info
from lt_core.data.dataset import Dataset
from lt_core.data.files import found, listing, names_in, split_folder, split_of
from lt_core.data.source import Source, unnamed
from lt_core.errors import ConfigError, DataError, unknown
from lt_core.parameters import Range, convert

SPLITS = ("train", "val", "test")
_FIRST_SHARD_FACTOR = 10  # from here on a subset is cut from shard 0
_LARGEST_OVERLAP = 0.01  # of the test images
_TINY_IMAGENET = (
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",  # its MD5
)


def data_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that holds ``cifar10/`` and so on.

    ``root`` if given, else the environment's ``LT_DATA_ROOT``, else
    ``lt_core`` in the user's cache folder.
    """
    if root is None:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        root = os.environ.get("LT_DATA_ROOT") or Path(cache, "lt_core")
    return Path(root).expanduser()


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
    that number as ``holdout`` (0 holds none of them out) and the same
    ``subset_seed``: their head is then ``head_count - holdout``.

    Sets that are long-tailed by nature are taken as listed, at factor 1; of a
    published list a factor between 1 and its own keeps at most that many times
    the images of the smallest class. Their ``holdout`` is at most half of a class; without
    one, ``split="val"`` is the list or the folder of that name. Nothing is
    fetched unless ``download`` is true and the files are missing.

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
        described.check_cut(imbalance_factor)
        divided = holdout and split != "test"
        source = "train" if divided else split
        if name.startswith(own.PREFIX):
            listed = own.load(name, source).validate()
        else:
            listed = listfile.load(described, _folder(described, root), source).validate()
        if divided:
            listed = listfile.divided(listed, split, holdout, subset_seed)
        if split != "train" or imbalance_factor == 1:
            return listed
        return listfile.cut(listed, imbalance_factor, subset_seed)
    if split == "test":
        source = _open_source(described, root, "test", download=download)
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
        first_shard = imbalance_factor >= _FIRST_SHARD_FACTOR
        enough = [count + holdout for count in counts] if first_shard else None
        source = _open_source(described, root, "train", enough, download)
        try:
            rows = long_tail.draw(source.targets, counts, subset_seed, holdout, split)
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

    Decodes no image. Sets that are taken as listed are not looked for.
    """
    described = info(name)
    if described.head_count is not None and name != "digits":
        _open_source(described, data_root(root), "test")


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

    Images in memory are compared by their pixels, images on disk by their paths alone: copies
    under another name are found by ``lt-core look --open``.

    CIFAR-100 is published with ten such images, so a few are counted and not
    refused. Raises DataError for more than 1 % of the test images, which
    means that the wrong files were read, and for classes in another order.
    """
    named = not unnamed(train.class_names) and not unnamed(test.class_names)
    if train.num_classes != test.num_classes or (named and train.class_names != test.class_names):
        pairs = zip_longest(train.class_names, test.class_names)
        first, second = next((a, b) for a, b in pairs if a != b)
        raise DataError(
            f"{train.name}: training and test files name different classes, such as {first!r} and "
            f"{second!r}"
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


def _folder(described: DatasetInfo, root: Path) -> Path:
    """The data set's folder below ``root``, or ``root`` where that is the folder itself."""
    folder = root / described.name
    if names_in(folder) or not os.path.isdir(root):
        return folder
    if root.name in (described.name, *sum(described.releases, ())):
        return root
    for name in names_in(root):
        listed = name.lower().endswith((".parquet", ".txt", ".json"))
        if cifar.is_release(described, name) or (split_of if listed else split_folder)(name):
            return root
    return folder


def _trees(described: DatasetInfo, root: Path) -> list[tuple[Path, list[str]]]:
    """Where files can lie, and which: the data set's folder, and what is published beside it."""
    folder, releases = _folder(described, root), sum(described.releases, ())
    beside = root.parent if root.name in releases or os.path.isfile(root) else root
    files = [
        name
        for name in names_in(beside)
        if beside != folder and name.endswith((".tar", ".tgz", ".gz", ".zip"))
    ]
    for path in (beside / name for name, _ in described.releases):
        if os.path.isdir(path) and path != folder:
            files += [f"{path.name}/{file}" for file in listing(path)]
    return [(folder, listing(folder) if os.path.isdir(folder) else []), (beside, files)]


def _first_source(
    described: DatasetInfo, root: Path, split: str, enough: list[int] | None
) -> Source | str:
    """The first candidate that can be read, or what is wrong with those that were found."""
    trees, problems = _trees(described, root), []
    for candidates in (
        partial(cifar.candidates, binary=False, packed=False),
        partial(parquet.candidates, enough=enough),
        folders.candidates,
        partial(cifar.candidates, binary=True, packed=False),
        partial(cifar.candidates, binary=False, packed=True),
        partial(cifar.candidates, binary=True, packed=True),
        folders.zipped,
    ):
        for candidate in (each for tree in trees for each in candidates(described, *tree, split)):
            try:
                source = candidate()
                # Test images that are not complete would give numbers nobody can compare.
                if split == "test" or not source.shards:
                    source.check_complete(
                        described.test_count if split == "test" else described.head_count, split
                    )
                return source
            except DataError as error:
                problems.append(str(error))
    folder = _folder(described, root)
    return "; ".join(problems) or f"no {split} images in {folder}, {found(folder)}"


def _open_source(
    described: DatasetInfo,
    root: Path,
    split: str,
    enough: list[int] | None = None,
    download: bool = False,
) -> Source:
    if described.name == "digits":
        return digits.open_source(described, split)
    source, folder = _first_source(described, root, split, enough), _folder(described, root)
    if download and isinstance(source, str):
        try:
            _download(described, folder)
            source = _first_source(described, root, split, enough)
        except DataError as error:
            source += f"; {error}"
    if isinstance(source, Source):
        return source
    fetch = "call with download=True (lt-core: --download), or "
    raise DataError(
        f"{described.name}: {source}; {fetch if described.releases and not download else ''}put "
        f"{described.how_to_get} into {folder} (LT_DATA_ROOT or --data-root names the folder that "
        f"holds {described.name}/)"
    )


def _download(described: DatasetInfo, folder: Path) -> None:
    """Fetch the published archive unless it is there with its MD5; it is read as it is."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    published = {
        "cifar10": (datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5),
        "cifar100": (datasets.CIFAR100.url, datasets.CIFAR100.tgz_md5),
        "tinyimagenet": _TINY_IMAGENET,
    }
    if described.name not in published:
        raise DataError(f"{described.name} cannot be downloaded")
    name, archive = described.releases[0]
    url, md5 = published[described.name]
    folder = folder.parent if folder.name == name else folder
    try:
        download_url(url, str(folder), archive, md5)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(f"cannot be downloaded from {url} into {folder} ({error})") from error
