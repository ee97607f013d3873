"""The shards of real images that LT_DATA_ROOT names."""

import os
import time
from pathlib import Path

import pytest
import torch

from lt_core import data
from lt_core.errors import DataError
from lt_core.training import RunConfig
from lt_core.training.loop import Images


@pytest.fixture(scope="module")
def root():
    if not os.environ.get("LT_DATA_ROOT"):
        pytest.skip("LT_DATA_ROOT names no folder with real images")
    return Path(os.environ["LT_DATA_ROOT"])


# The hash of the images that every run records: factor, training, test.
PUBLISHED = {
    "cifar10": (100, 12_406, "8f7af76c4e", "6dc991d2d5"),
    "cifar100": (100, 10_847, "f741865e1a", "57e24cfd0d"),
    "tinyimagenet32": (100, 19_381, "6ad38ea8a1", "3cb50e3240"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_same_images_as_published(root, name):
    """D6: any machine with shard 0 draws these."""
    factor, images, train_hash, test_hash = PUBLISHED[name]
    info = data.info(name)
    train, test = data.load_train_test(name, factor, root)
    assert len(train) == images
    assert train.class_counts == data.class_counts(info.num_classes, info.head_count, factor)
    assert test.class_counts == [info.test_count] * info.num_classes
    assert train.sha256.startswith(train_hash)
    assert test.sha256.startswith(test_hash)
    assert train.overlap <= 10
    assert train.images.shape[1:] == test.images.shape[1:] == info.image_shape


def test_ten_is_all_of_shard_0_and_holds_100(root):
    ten = data.load("cifar10", "train", 10, root)
    hundred = data.load("cifar10", "train", 100, root)
    assert len(ten) == 20_431
    assert set(hundred.indices) < set(ten.indices)


def test_standard_class_order(root):
    assert data.load("cifar10", "test", root=root).class_names[:2] == ("airplane", "automobile")
    names = data.load("cifar100", "test", root=root).class_names
    assert (names[0], names[99]) == ("apple", "worm")


def test_balanced_set_is_used_where_it_is_or_missed_by_name(root):
    if any((root / "cifar10").rglob("train-00001-of-00002.parquet")):
        assert data.load("cifar10", "train", 1, root).class_counts == [5000] * 10
    else:
        with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet is missing"):
            data.load("cifar10", "train", 1, root)
    with pytest.raises(DataError, match="class 1 needs 450 images"):
        data.load("tinyimagenet32", "train", 1, root)


def test_loading_takes_seconds(root):
    start = time.perf_counter()
    data.load("cifar10", "train", 100, root)
    assert time.perf_counter() - start < 20  # 1.7 s on two quiet cores


def test_images_can_be_held_out_where_only_the_first_shard_is(root):
    config = RunConfig("cifar10", "softmax", 100, holdout=5)
    images = Images(torch.device("cpu"), root)
    train, held_out = images.train(config), images.evaluated(config)
    assert held_out.class_counts == [5] * 10
    assert train.class_counts == data.class_counts(10, 4995, 100)
    assert not {*train.indices.tolist()} & {*held_out.indices.tolist()}
