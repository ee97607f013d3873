"""Data sets, their long-tailed subsets, and what was chosen from them."""

from lt_core.data.catalog import DatasetInfo, info, names
from lt_core.data.dataset import Dataset
from lt_core.data.loading import check_apart, data_root, load, load_train_test, look_for
from lt_core.data.long_tail import class_counts
from lt_core.data.manifest import read_subset, select, subset_manifest, write_subset

__all__ = [
    "Dataset",
    "DatasetInfo",
    "check_apart",
    "class_counts",
    "data_root",
    "info",
    "load",
    "load_train_test",
    "look_for",
    "names",
    "read_subset",
    "select",
    "subset_manifest",
    "write_subset",
]
