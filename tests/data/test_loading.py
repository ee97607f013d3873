import numpy as np
import pytest
import small_sets as small
import torch

from lt_core import data
from lt_core.data import Dataset, loading
from lt_core.errors import ConfigError, DataError


@pytest.fixture
def root(monkeypatch, tmp_path):
    small.shrink(monkeypatch)
    small.write_parquet_set(tmp_path)
    return tmp_path


def test_root_is_the_argument_then_the_environment_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LT_DATA_ROOT", str(tmp_path / "env"))
    assert data.data_root(tmp_path / "given") == tmp_path / "given"
    assert data.data_root() == tmp_path / "env"
    monkeypatch.delenv("LT_DATA_ROOT")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data.data_root() == tmp_path / "cache" / "lt_core"


def test_missing_data_says_what_where_and_how(tmp_path):
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "train", 100, tmp_path)
    message = str(caught.value)
    assert "no train images" in message
    assert str(tmp_path / "cifar10") in message
    assert "--download" in message
    assert "LT_DATA_ROOT" in message
    assert "\n" not in message


def test_seeds_and_factors_draw_as_promised(root):
    whole = data.load("cifar10", "train", 1, root)
    cut = data.load("cifar10", "train", 4, root)
    assert cut.class_counts == data.class_counts(3, 12, 4)
    assert set(cut.indices) <= set(whole.indices)
    assert cut.sha256 == data.load("cifar10", "train", 4.0, root).sha256
    other = data.load("cifar10", "train", 4, root, subset_seed=1)
    assert other.sha256 != cut.sha256
    assert sum(cut.class_counts) == len(cut) == len(cut.images)


def test_validation_is_apart_from_training(root):
    val = data.load("cifar10", "val", 4, root, holdout=3)
    train = data.load("cifar10", "train", 4, root, holdout=3)
    assert val.class_counts == [3, 3, 3]
    assert train.class_counts == data.class_counts(3, 9, 4)
    assert not set(val.indices) & set(train.indices)
    assert data.load("cifar10", "val", 4, root).class_counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"imbalance_factor": 0.5}, "imbalance_factor: expected 1 or more"),
        ({"imbalance_factor": 1000}, "leaves class 1 of 3 without an image"),
        ({"subset_seed": -1}, "subset_seed: expected 0 or more, got -1"),
        ({"holdout": 1.5}, "holdout: expected a whole number, got 1.5"),
        ({"holdout": 12}, "holdout must be below 12"),
    ],
)
def test_arguments_out_of_range_are_refused(root, arguments, complaint):
    with pytest.raises(ConfigError, match=complaint):
        data.load("cifar10", "train", root=root, **arguments)


def test_few_duplicates_are_counted(root, monkeypatch):
    """CIFAR-100 is published with ten test images that are training images too."""
    train, test = data.load_train_test("cifar10", root=root)
    assert train.overlap == test.overlap == 0
    del test.image_digests
    test.images[5] = train.images[0]
    monkeypatch.setattr(loading, "_LARGEST_OVERLAP", 0.1)
    assert data.check_apart(train, test) == 1
    assert train.overlap == test.overlap == 1


def test_training_images_as_test_images_are_refused(monkeypatch, root):
    """D8"""
    small.shrink(monkeypatch, test_count=small.TRAIN)
    folder = root / "cifar10"
    train, test = (folder / f"{split}-00000-of-00001.parquet" for split in ("train", "test"))
    test.write_bytes(train.read_bytes())
    with pytest.raises(DataError, match="36 of 36 test images are training images too") as caught:
        data.load_train_test("cifar10", root=root)
    assert str(train) in str(caught.value)
    assert str(test) in str(caught.value)


def test_other_class_names_in_the_test_set_are_refused(monkeypatch, root):
    small.shrink(monkeypatch, class_names=None)
    labels = small.split_labels("test")
    files = [small.encoded(image) for image in small.noise(labels, 1)]
    path = root / "cifar10" / "test-00000-of-00001.parquet"
    small.write_parquet(path, labels, files, names=("airplane", "bicycle", "bird"))
    with pytest.raises(DataError, match="such as 'automobile' and 'bicycle'"):
        data.load_train_test("cifar10", root=root)


@pytest.mark.parametrize("download", [False, True])
def test_nothing_is_downloaded_unless_asked_and_missing(monkeypatch, root, tmp_path, download):
    from torchvision.datasets import utils

    asked = []
    monkeypatch.setattr(utils, "download_url", lambda url, place, *_: asked.append(place))
    data.load("cifar10", "train", root=root, download=download)
    assert asked == []
    with pytest.raises(DataError, match="no train images") as caught:
        data.load("cifar10", "train", root=tmp_path / "empty", download=download)
    assert asked == [str(tmp_path / "empty" / "cifar10")] * download
    assert ("--download" in str(caught.value)) != download


def dataset(targets, **changes):
    targets = torch.tensor(targets)
    images = torch.zeros(len(targets), 3, 2, 2, dtype=torch.uint8)
    given = {"images": images, "targets": targets, "class_names": ("a", "b"), **changes}
    return Dataset("made", "train", indices=np.arange(len(targets)), **given)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"targets": [0, 1, 2]}, r"1 labels outside \[0, 2\), first 2 in row 2"),
        ({"targets": [0, -1, 255]}, r"2 labels outside \[0, 2\), first -1 in row 1"),
        ({"targets": [0, 0]}, "1 of 2 classes have no image, first 'b'"),
        ({"targets": [0.0, 1.0]}, "targets must be int64"),
        ({"targets": [0, 1], "images": torch.zeros(3, 3, 2, 2).byte()}, "3 images but 2 labels"),
        ({"targets": [0, 1], "images": torch.zeros(2, 3, 2, 2)}, "images must be uint8"),
    ],
)
def test_what_a_loss_could_not_see_is_refused(changes, complaint):
    with pytest.raises(DataError, match=complaint):
        dataset(**changes).validate()


def test_hash_sees_pixels_and_labels_but_not_order():
    first = dataset([0, 1])
    first.images[1] = 7
    swapped = dataset([1, 0], images=first.images.flip(0))
    relabelled = dataset([1, 0], images=first.images)
    assert first.sha256 == swapped.sha256 != relabelled.sha256
