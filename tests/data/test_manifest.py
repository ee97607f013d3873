import json
from functools import partial

import numpy as np
import pytest
import small_sets as small

from lt_core import data
from lt_core.errors import DataError, StoreError


@pytest.fixture
def root(monkeypatch, tmp_path):
    small.shrink(monkeypatch)
    small.write_parquet_set(tmp_path)
    return tmp_path


def test_manifest_names_the_images_and_nothing_of_this_machine(root, tmp_path):
    subset = data.load("cifar10", "train", 4, root, subset_seed=2)
    path = data.write_subset(subset, tmp_path / "subsets")
    assert path.name == "cifar10_4_2.json"
    manifest = data.read_subset(path)
    assert manifest == data.subset_manifest(subset)
    assert manifest["class_counts"] == subset.class_counts
    assert manifest["sha256"] == subset.sha256
    assert list(manifest["files"]) == ["train-00000-of-00001.parquet"]
    assert str(tmp_path) not in path.read_text()


def test_same_bytes_every_time_and_no_temporary_file(root, tmp_path, monkeypatch):
    subset = data.load("cifar10", "train", 4, root)
    for limit, suffix in ((10**6, ".json"), (10, ".gz")):
        monkeypatch.setattr("lt_core.data.manifest._LARGEST_PLAIN", limit)
        first = data.write_subset(subset, tmp_path / "subsets")
        before = first.read_bytes()
        assert data.write_subset(subset, tmp_path / "subsets").read_bytes() == before
        assert first.suffix == suffix
        assert data.read_subset(first)["sha256"] == subset.sha256
    assert not list((tmp_path / "subsets").glob("*.tmp"))


def test_others_find_the_same_images_in_other_files(root, tmp_path, monkeypatch):
    """Published from parquet shards, found in torchvision's pickles."""
    subset = data.load("cifar10", "train", 4, root)
    manifest = data.subset_manifest(subset)
    small.write_pickles(monkeypatch, tmp_path / "other")
    whole = data.load("cifar10", "train", root=tmp_path / "other", subset_seed=9)
    found = data.select(whole, manifest)
    assert found.sha256 == subset.sha256
    assert found.class_counts == subset.class_counts


def spelled(root, names, order=(0, 1, 2)):
    """The whole training set once more, with other names or labels."""
    labels = small.split_labels("train")
    files = [small.encoded(image) for image in small.noise(labels)]
    path = root / "cifar10" / "train.parquet"
    small.write_parquet(path, np.array(order)[labels], files, names=names)
    return data.load("cifar10", "train", root=root)


@pytest.mark.parametrize("names", [None, ("airplane", "automobile", "bir"), ("A", "b", "c d")])
def test_found_by_class_whatever_the_class_is_called(root, tmp_path, monkeypatch, names):
    """Hugging Face's CIFAR-100 calls class 26 `cra`; other files have no names at all."""
    subset = data.load("cifar10", "train", 4, root)
    manifest = data.read_subset(data.write_subset(subset, tmp_path / "subsets"))
    small.shrink(monkeypatch, class_names=None)
    found = data.select(spelled(tmp_path / "other", names), manifest)
    assert found.sha256 == subset.sha256
    assert found.class_counts == subset.class_counts


def test_labels_in_another_order_are_suspected(root, tmp_path):
    manifest = data.subset_manifest(data.load("cifar10", "train", 4, root))
    other = spelled(tmp_path / "other", None, (1, 0, 2))
    with pytest.raises(DataError, match=r"18 of 21 .*; 18 of them have another class here: are"):
        data.select(other, manifest)


def test_manifest_of_another_data_set_is_refused(root):
    manifest = data.subset_manifest(data.load("digits", "train", 100))
    with pytest.raises(DataError, match="3 classes, but the manifest is one of digits with 10"):
        data.select(data.load("cifar10", "train", root=root), manifest)


def test_every_subset_has_a_name_of_its_own(root, tmp_path):
    load = partial(data.load, "cifar10", root=root)
    subsets = {
        "cifar10_4_0.json": load("train", 4),
        "cifar10_4_0_holdout3.json": load("train", 4, holdout=3),
        "cifar10_4_0_holdout2.json": load("train", 4, holdout=2),
        "cifar10_4_0_val_holdout3.json": load("val", 4, holdout=3),
        "cifar10_4_0_val_holdout2.json": load("val", 4),
        "cifar10_4_1.json": load("train", 4, subset_seed=1),
        "cifar10_1_0.json": load("train"),
        "cifar10_1_0_test.json": load("test"),
        "cifar10_1.23457_0.json": load("train", 1.23457),
        "cifar10_1.234567_0.json": load("train", 1.234567),
    }
    for name, subset in subsets.items():
        assert data.write_subset(subset, tmp_path).name == name
    for name, subset in subsets.items():
        manifest = data.read_subset(tmp_path / name)
        assert manifest == data.subset_manifest(subset)
        if subset.split != "test":
            assert data.select(load("train"), manifest).sha256 == subset.sha256


def test_manifest_of_other_images_is_not_overwritten(root, tmp_path, monkeypatch):
    """A data set in other files is cut to other images, under the same name."""
    path = data.write_subset(data.load("cifar10", "train", 4, root), tmp_path)
    before = path.read_bytes()
    labels = small.split_labels("train")
    files = [small.encoded(image) for image in small.noise(labels)]
    small.write_parquet(tmp_path / "other" / "cifar10" / "train.parquet", labels[::-1], files[::-1])
    other = data.load("cifar10", "train", 4, tmp_path / "other")
    for limit in (10**6, 10):
        monkeypatch.setattr("lt_core.data.manifest._LARGEST_PLAIN", limit)
        with pytest.raises(StoreError, match=r"cifar10_4_0\.json lists other images than these"):
            data.write_subset(other, tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.glob("cifar10_*")] == [path.name]


def test_list_stays_on_disk_when_images_are_chosen(tmp_path, monkeypatch):
    small.shrink(monkeypatch, "imagenet_lt", head_count=None, test_count=None, class_names=None)
    folder = tmp_path / "imagenet_lt"
    for row in range(6):
        small.write_image(folder / "train" / f"{row}.png", small.noise([0], row)[0])
    lines = [f"train/{row}.png {row % 3}\n" for row in range(6)]
    (folder / "ImageNet_LT_train.txt").write_text("".join(lines))
    train = data.load("imagenet_lt", "train", root=tmp_path)
    manifest = data.read_subset(data.write_subset(train, tmp_path))
    (folder / "ImageNet_LT_train.txt").write_text("".join(lines[::-1]).replace("tr", "./tr"))
    found = data.select(data.load("imagenet_lt", "train", root=tmp_path), manifest)
    assert found.is_lazy
    assert found.sha256 == train.sha256
    assert (found.images[0] == train.images[train.images.paths.index(found.images.paths[0])]).all()


def test_images_that_are_not_there_are_counted(root):
    manifest = data.subset_manifest(data.load("cifar10", "train", 1, root))
    with pytest.raises(DataError, match=r"15 of 36 images of the manifest are not among these 21"):
        data.select(data.load("cifar10", "train", 4, root), manifest)


def test_manifest_of_other_images_is_refused(root):
    whole = data.load("cifar10", "train", 1, root)
    manifest = {**data.subset_manifest(whole), "sha256": "0" * 64}
    with pytest.raises(DataError, match="the manifest says 0000"):
        data.select(whole, manifest)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"NaN", b'{"indices": [1]}', b"[" * 200_000, b"\xff"]
)
def test_what_is_no_manifest_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a subset manifest"):
        data.read_subset(path)


@pytest.mark.parametrize("place", [3, 12, 25, -9, -1])
def test_damaged_compressed_manifest_is_refused(root, tmp_path, monkeypatch, place):
    monkeypatch.setattr("lt_core.data.manifest._LARGEST_PLAIN", 10)
    path = data.write_subset(data.load("cifar10", "train", 4, root), tmp_path)
    content = bytearray(path.read_bytes())
    for damaged in (content[:place], content):
        damaged[place if len(damaged) > place else -1] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a subset manifest"):
            data.read_subset(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", None),
        ("split", 3),
        ("holdout", "0"),
        ("class_counts", ["12", 6, 3]),
        ("class_counts", {"a": 21}),
        ("class_counts", [-1, 13, 9]),
        ("images", "x" * 21),
        ("imbalance_factor", "4"),
        ("subset_seed", None),
    ],
)
def test_fields_of_another_type_are_refused(root, tmp_path, key, value):
    manifest = data.subset_manifest(data.load("cifar10", "train", 4, root))
    path = tmp_path / "x.json"
    for changed in ({**manifest, key: value}, {k: v for k, v in manifest.items() if k != key}):
        path.write_text(json.dumps(changed))
        with pytest.raises(DataError, match=f"not a subset manifest .*{key}"):
            data.read_subset(path)


def test_a_place_that_cannot_be_written_is_named(root, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(StoreError, match=r"cifar10_4_0.json: cannot be written \("):
        data.write_subset(data.load("cifar10", "train", 4, root), tmp_path / "a file")


def test_columns_of_different_length_are_refused(root, tmp_path):
    manifest = data.subset_manifest(data.load("cifar10", "train", 4, root))
    manifest["images"].pop()
    path = tmp_path / "x.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="differ in length"):
        data.read_subset(path)
