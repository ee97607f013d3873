"""Data sets, their long-tailed subsets, and what was chosen from them."""

from lt_core.data.catalog import DatasetInfo, info, names
from lt_core.data.dataset import Dataset
from lt_core.data.loading import data_root, load
from lt_core.data.long_tail import class_counts

__all__ = ["Dataset", "DatasetInfo", "class_counts", "data_root", "info", "load", "names"]
