"""The subsets in results/: what runs were trained on, so that others can train on the same."""

import os

import pytest

from lt_core import data
from lt_core.runs import records

FOLDER = records.shipped("results") / "subsets"
MANIFESTS = sorted(FOLDER.glob("*.json*"))
ROOT = os.environ.get("LT_DATA_ROOT")


def test_every_committed_run_was_trained_on_a_published_subset():
    published = {}
    for path in MANIFESTS:
        manifest = data.read_subset(path)
        where = manifest["dataset"], manifest["imbalance_factor"], manifest["subset_seed"]
        published[where] = manifest["sha256"]
    runs = records.committed().runs
    assert len(runs)
    for run in runs.itertuples():
        where = run.dataset, run.imbalance_factor, run.subset_seed
        assert published.get(where) == run.data_sha256, run.key


@pytest.mark.skipif(ROOT is None, reason="LT_DATA_ROOT names no folder with images")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "tinyimagenet32"])
def test_the_published_subset_is_drawn_again_from_the_images(name):
    manifest = data.read_subset(next(FOLDER.glob(f"{name}_100_0.json*")))
    drawn = data.load(name, "train", 100, root=ROOT)
    assert drawn.class_counts == manifest["class_counts"]
    assert drawn.sha256 == manifest["sha256"]
    assert sorted(drawn.indices.tolist()) == sorted(manifest["indices"])
