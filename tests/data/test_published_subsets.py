"""The subsets in results/: what runs were trained on, so that others can train on the same."""

import os

import pytest

from lt_core import data
from lt_core.runs import records

FOLDER = records.shipped("results") / "subsets"
MANIFESTS = sorted(FOLDER.glob("*.json*"))
FIELDS = ["dataset", "imbalance_factor", "subset_seed", "holdout"]
ROOT = os.environ.get("LT_DATA_ROOT")


def test_every_committed_run_was_trained_on_a_published_subset():
    published = {}
    for path in MANIFESTS:
        manifest = data.read_subset(path)
        if manifest["split"] == "train":
            published[tuple(manifest[field] for field in FIELDS)] = manifest["sha256"]
    runs = records.committed().runs
    assert len(runs)
    for run in runs.itertuples():
        where = tuple(getattr(run, field) for field in FIELDS)
        assert published.get(where) == run.data_sha256, run.key


@pytest.mark.skipif(ROOT is None, reason="LT_DATA_ROOT names no folder with images")
@pytest.mark.parametrize(
    "stem",
    [
        "cifar10_100_0",
        "cifar100_100_0",
        "tinyimagenet32_100_0",
        "cifar10_100_0_holdout400",
        "cifar10_100_0_val_holdout400",
    ],
)
def test_the_published_subset_is_drawn_again_from_the_images(stem):
    manifest = data.read_subset(next(FOLDER.glob(f"{stem}.json*")))
    drawn = data.load(
        manifest["dataset"], manifest["split"], 100, holdout=manifest["holdout"], root=ROOT
    )
    assert drawn.class_counts == manifest["class_counts"]
    assert drawn.sha256 == manifest["sha256"]
    assert sorted(drawn.indices.tolist()) == sorted(manifest["indices"])
