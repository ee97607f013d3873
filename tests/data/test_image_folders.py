from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_sets as small
from PIL import Image

from lt_core import data
from lt_core.data import catalog
from lt_core.data.files import natural_key
from lt_core.data.source import standard_classes
from lt_core.errors import DataError


@pytest.fixture
def info(monkeypatch):
    return small.shrink(monkeypatch)


def test_same_images_as_from_parquet(info, tmp_path):
    small.write_folders(tmp_path / "folders")
    small.write_parquet_set(tmp_path / "parquet")
    sets = [data.load_train_test("cifar10", root=tmp_path / r) for r in ("folders", "parquet")]
    for ours, theirs in zip(*sets, strict=True):
        assert ours.sha256 == theirs.sha256


def test_class_10_comes_after_class_9(monkeypatch):
    """D5"""
    info = replace(catalog.info("cifar10"), num_classes=12, class_names=None)
    names = sorted(str(c) for c in range(12))  # "10" before "2", as a file system lists them
    class_names, label_map = standard_classes(names, info, Path("train"))
    assert class_names == tuple(str(c) for c in range(12))
    assert [class_names[label] for label in label_map] == names
    assert sorted(["img10", "img9", "a"], key=natural_key) == ["a", "img9", "img10"]


def test_numbered_folders_are_the_standard_classes(info, tmp_path):
    small.write_folders(tmp_path, names=("0", "1", "2"))
    train = data.load("cifar10", "train", root=tmp_path)
    assert train.class_names == small.CLASSES
    assert train.class_counts == [12, 12, 12]


def test_missing_class_is_refused(info, tmp_path):
    """D4: a missing folder would shift every later class."""
    small.write_folders(tmp_path)
    (tmp_path / "cifar10" / "test" / "automobile").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="cifar10 has 3 classes, found 2"):
        data.load("cifar10", "test", root=tmp_path)


def test_incomplete_class_is_refused(info, tmp_path):
    """Half an unpacked archive would silently be another data set."""
    small.write_folders(tmp_path)
    next((tmp_path / "cifar10" / "train" / "bird").iterdir()).unlink()
    with pytest.raises(DataError, match="train images than 12, first 'bird' with 11"):
        data.load("cifar10", "train", 4, root=tmp_path)


def test_damaged_image_is_named(info, tmp_path):
    small.write_folders(tmp_path)
    victim = next((tmp_path / "cifar10" / "test" / "bird").iterdir())
    victim.write_bytes(victim.read_bytes()[:40])
    with pytest.raises(DataError, match="not a complete image") as caught:
        data.load("cifar10", "test", root=tmp_path)
    assert str(victim) in str(caught.value)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Stanford's layout: grey images among them, unlabelled test images beside."""
    small.shrink(monkeypatch, "tinyimagenet", class_names=None)
    wnids = ("n02", "n01", "n03")
    root = tmp_path / "tinyimagenet" / "tiny-imagenet-200"
    lines = []
    for split in ("train", "test"):
        labels = small.split_labels(split)
        pixels = small.noise(labels, seed=len(split))
        for row, (label, image) in enumerate(zip(labels, pixels, strict=True)):
            if split == "train":
                path = root / "train" / wnids[label] / "images" / f"{wnids[label]}_{row}.JPEG"
            else:
                path = root / "val" / "images" / f"val_{row}.JPEG"
                lines.append(f"{path.name}\t{wnids[label]}\t0\t0\t7\t7")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(small.encoded(image, "JPEG", "L" if row == 0 else "RGB"))
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "test" / "images").mkdir(parents=True)
    return root


def test_tiny_imagenet_tests_on_its_validation_images(tiny, tmp_path):
    train, test = data.load_train_test("tinyimagenet", root=tmp_path)
    assert train.class_names == ("n01", "n02", "n03")
    assert train.class_counts == [12, 12, 12]
    assert test.class_counts == [4, 4, 4]
    for line in (tiny / "val" / "val_annotations.txt").read_text().splitlines():
        file, wnid, *_ = line.split("\t")
        image = np.asarray(Image.open(tiny / "val" / "images" / file).convert("RGB"))
        same = (test.images.permute(0, 2, 3, 1).numpy() == image).all(axis=(1, 2, 3))
        assert test.class_names[test.targets[same.argmax()]] == wnid


@pytest.mark.parametrize("line", ["", "no tabs", "../x.JPEG\tn01\t0"])
def test_annotations_are_checked_line_by_line(tiny, tmp_path, line):
    path = tiny / "val" / "val_annotations.txt"
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"val_annotations\.txt: line 5 is"):
        data.load("tinyimagenet", "test", root=tmp_path)
