import json

import pytest
import small_sets as small

from lt_core import data
from lt_core.errors import DataError


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


def test_images_that_are_not_there_are_counted(root):
    manifest = data.subset_manifest(data.load("cifar10", "train", 1, root))
    with pytest.raises(DataError, match=r"15 of 36 images of the manifest are not among these 21"):
        data.select(data.load("cifar10", "train", 4, root), manifest)


def test_manifest_of_other_images_is_refused(root):
    whole = data.load("cifar10", "train", 1, root)
    manifest = {**data.subset_manifest(whole), "sha256": "0" * 64}
    with pytest.raises(DataError, match="the manifest says 0000"):
        data.select(whole, manifest)


@pytest.mark.parametrize("content", ["", "{}", "[]", "NaN", '{"indices": [1]}'])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match="not a subset manifest"):
        data.read_subset(path)


def test_columns_of_different_length_are_refused(root, tmp_path):
    manifest = data.subset_manifest(data.load("cifar10", "train", 4, root))
    manifest["images"].pop()
    path = tmp_path / "x.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="differ in length"):
        data.read_subset(path)
