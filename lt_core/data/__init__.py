"""Data sets, their long-tailed subsets, and what was chosen from them."""

from lt_core import lazily
from lt_core.data.catalog import DatasetInfo, at, info, names

__all__ = [
    "Dataset",
    "DatasetInfo",
    "at",
    "check_apart",
    "check_factor",
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

_LOADING = ("check_apart", "data_root", "load", "load_train_test", "look_for")
_MANIFEST = ("read_subset", "select", "subset_manifest", "write_subset")

__getattr__ = lazily(
    __name__,
    {
        "Dataset": "dataset",
        **dict.fromkeys(("check_factor", "class_counts"), "long_tail"),
        **dict.fromkeys(_LOADING, "loading"),
        **dict.fromkeys(_MANIFEST, "manifest"),
    },
)
