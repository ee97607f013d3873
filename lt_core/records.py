"""Records: a row a run, in a CSV file that can be read, compared and committed.

A store is large and stays where it was made; its records are small and travel. A
records file ``NAME.csv`` comes with ``NAME_classes.csv`` (a row a run and class) and
``NAME_history.csv`` (a row a run and epoch).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from lt_core import runs
from lt_core.errors import StoreError

#: What a record must hold for a table to count it, and the range of the numbers.
REQUIRED = (
    *("key", "dataset", "imbalance_factor", "subset_seed", "method", "variant", "recipe"),
    *("model", "epochs", "precision", "seed", "top1", "top1_best", "data_sha256"),
    *("seconds", "hardware", "torch", "commit"),
)
PERCENT = ("top1", "top1_best", "top1_many", "top1_medium", "top1_few", "top1_rebalanced")


def write(store: str | os.PathLike, path: str | os.PathLike) -> int:
    """Write the records of all finished runs of ``store``; rows already in ``path`` stay.

    Returns the number of records. Raises StoreError where a row of ``path`` and a run of
    the store have one key and different accuracies.
    """
    path = Path(path)
    found, set_aside = runs.scan(store)
    if set_aside:
        raise StoreError(f"{store}: {len(set_aside)} runs do not count: {set_aside[0]}")
    frames = {
        path: pd.DataFrame([{"key": run.key, **run.record} for run in found]),
        beside(path, "classes"): pd.concat([_classes(run) for run in found] or [pd.DataFrame()]),
        beside(path, "history"): pd.concat(
            [run.history.assign(key=run.key) for run in found] or [pd.DataFrame()]
        ),
    }
    if path.exists():
        old = read(path)
        both = old.merge(frames[path], on="key", suffixes=("_old", ""))
        differ = both[(both["top1_old"] - both["top1"]).abs() > 1e-9]
        if len(differ):
            raise StoreError(
                f"run {differ['key'].iloc[0]}: top1 is {differ['top1_old'].iloc[0]} in {path} and "
                f"{differ['top1'].iloc[0]} in {store}; nothing was written"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, frame in frames.items():
        if target.exists():
            kept = pd.read_csv(target, keep_default_na=False, na_values=[""])
            frame = pd.concat([kept[~kept["key"].isin(frame["key"])], frame])
        ordered = frame.sort_values("key", kind="stable")
        runs.write_atomically(target, ordered.to_csv(index=False).encode())
    return len(pd.read_csv(path))


def read(path: str | os.PathLike) -> pd.DataFrame:
    """The records in ``path``, validated; StoreError names the first row that cannot be."""
    path = Path(path)
    if not path.exists():
        raise StoreError(f"{path}: no such records; expected a CSV file that lt-core merge wrote")
    frame = pd.read_csv(path, dtype={"key": str, "variant": str})
    frame["variant"] = frame["variant"].fillna("")
    missing = [name for name in REQUIRED if name not in frame]
    if missing:
        raise StoreError(f"{path}: column {missing[0]!r} is missing; expected records of runs")
    if (twice := frame["key"][frame["key"].duplicated()]).size:
        raise StoreError(f"{path}: run {twice.iloc[0]} stands there twice")
    for name in PERCENT:
        if name in frame:
            values = frame[name].dropna()
            wrong = values[(values < 0) | (values > 100)]
            if len(wrong):
                raise StoreError(
                    f"{path}: run {frame['key'][wrong.index[0]]}: {name} is {wrong.iloc[0]}, "
                    "expected percent"
                )
    return frame


def beside(path: Path, what: str) -> Path:
    """The file of ``what`` (``"classes"`` or ``"history"``) that belongs to ``path``."""
    return path.with_name(f"{path.stem}_{what}{path.suffix}")


def _classes(run: runs.Run) -> pd.DataFrame:
    counts = run.arrays["class_counts"]
    return pd.DataFrame(
        {
            "key": run.key,
            "class_rank": np.arange(len(counts)),
            "images": counts,
            "accuracy": run.arrays["class_accuracy"].round(6),
            "accuracy_rebalanced": run.arrays["class_accuracy_rebalanced"].round(6),
        }
    )
