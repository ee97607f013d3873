"""Records: one row per run, in a CSV file that can be read, compared and committed.

A store is large and stays where it was made; its records are small and are committed. Beside
a records file ``NAME.csv`` are written ``NAME_classes.csv`` (one row per run and class) and
``NAME_history.csv`` (one row per run and epoch).
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import lt_core
from lt_core.errors import StoreError
from lt_core.runs import environment
from lt_core.runs.merging import CIRCUMSTANCES
from lt_core.runs.store import NUMBERS, Run, Store, read_bytes, reported, scan

#: What a record must hold for a table to count it.
REQUIRED = (
    *("key", "dataset", "imbalance_factor", "subset_seed", "method", "variant", "recipe"),
    *("model", "epochs", "precision", "seed", "top1", "top1_best", "data_sha256"),
    *("seconds", "hardware", "torch", "commit"),
)
#: Words even where they look like numbers: the commit 4e09210 is not 4 followed by zeros.
WORDS = ("key", "variant", "overrides", "data_sha256", "hardware", "torch", "python", "commit")
#: Words that may be empty: no parameter differs, or the package ran outside a checkout.
MAY_BE_EMPTY = ("variant", "commit")


class Results(NamedTuple):
    """Finished runs with their numbers per class and per epoch, from a store or from records.

    ``runs``: one row per run. ``classes``: one row per run and class, with ``key``,
    ``class_rank``, ``images``, ``accuracy``, ``accuracy_rebalanced`` (fractions).
    ``history``: one row per run and epoch, with ``key``, ``epoch``, ``train_loss``, ``top1``.
    """

    runs: pd.DataFrame
    classes: pd.DataFrame
    history: pd.DataFrame


def of_store(store: str | os.PathLike | Store) -> Results:
    """What a store holds; ``.runs.attrs["set_aside"]`` names the runs that do not count."""
    return _results(*scan(store))


def committed(folder: str | os.PathLike | None = None) -> Results:
    """All records in ``folder``, by default those that come with ``lt_core``, validated.

    Of a run that was made again and stands in several files, the one finished last counts. Raises
    StoreError where a run lacks its rows per class or epoch.
    """
    folder = shipped("results") if folder is None else Path(folder)
    paths = sorted(path for path in folder.glob("*.csv") if beside(path, "classes").exists())
    if not paths:
        return _results([])
    tables = [[read(path) for path in paths]]
    tables += [[_parsed(beside(path, name)) for path in paths] for name in ("classes", "history")]
    results = Results(*map(_concat, tables))
    latest = results.runs.reindex(columns=["key", "file", "finished"])
    latest = latest.sort_values("finished", kind="stable", na_position="first")
    latest = latest.drop_duplicates("key", keep="last")[["key", "file"]]
    results = Results(*(part.merge(latest).drop(columns="file") for part in results))
    for name in ("classes", "history"):
        without = results.runs["key"][~results.runs["key"].isin(getattr(results, name)["key"])]
        if without.size:
            raise StoreError(f"{folder}: run {without.iloc[0]} has no rows in its file of {name}")
    results.runs.attrs["set_aside"] = []
    return results


def write(store: str | os.PathLike, path: str | os.PathLike) -> int:
    """Write the records of all runs of ``store`` that count; rows already in ``path`` stay.

    Returns the number of records; :func:`of_store` names the runs that do not count. Raises
    StoreError where a row of ``path`` and a run of the store have one key and different numbers.
    """
    path = Path(path)
    found, set_aside = scan(store)
    results = _results(found, set_aside)
    if results.runs.empty:
        reason = "".join(f": {reason}" for reason in results.runs.attrs["set_aside"][:1])
        raise StoreError(f"{store}: holds no finished run; expected a store of runs{reason}")
    _validated(results.runs, store)
    _compare(results.runs, path, store)
    # The runs last: a process killed in between leaves no run without its other rows.
    frames = {beside(path, name): getattr(results, name) for name in ("classes", "history")}
    frames[path] = results.runs
    for target, frame in frames.items():
        if os.path.exists(target):
            kept = _parsed(target)
            frame = pd.concat([kept[~kept["key"].isin(frame["key"])], frame])
        frames[target] = frame.sort_values("key", kind="stable")
    with reported(path, "records"):
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, frame in frames.items():
            lt_core.write_atomically(target, frame.to_csv(index=False).encode())
    return len(frames[path])


def check(path: str | os.PathLike, stores: Sequence[str | os.PathLike | Store]) -> None:
    """Raise the StoreError that writing the records of ``stores`` to ``path`` would raise."""
    path = Path(path)
    for name in ("classes", "history"):
        if os.path.exists(beside(path, name)):
            _parsed(beside(path, name))
    for store in stores:
        _compare(_results(*scan(store)).runs, path, store)
    with reported(path, "records"):
        path.parent.mkdir(parents=True, exist_ok=True)


def _compare(found: pd.DataFrame, path: Path, store: str | os.PathLike | Store) -> None:
    """StoreError where a number of a run in ``path`` is another in what a store holds."""
    if not os.path.exists(path) or found.empty:
        return
    old, new = (frame.set_index("key") for frame in (read(path), found))
    numbers = new.select_dtypes("number").columns.intersection(old.columns)
    for name in sorted(numbers.difference(CIRCUMSTANCES), key=lambda name: name != "top1"):
        both = pd.DataFrame({"old": old[name], "new": new[name]}).dropna()
        differ = both[(both["old"] - both["new"]).abs() > 1e-9]
        if len(differ):
            raise StoreError(
                f"run {differ.index[0]}: {name} is {differ['old'].iloc[0]} in {path} and "
                f"{differ['new'].iloc[0]} in {store}; nothing was written"
            )


def read(path: str | os.PathLike) -> pd.DataFrame:
    """The records in ``path``, validated; StoreError names the first row that cannot be."""
    path = Path(path)
    if not os.path.exists(path):
        raise StoreError(f"{path}: no such records; expected a CSV file that lt-core merge wrote")
    return _validated(_parsed(path), path)


def _concat(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all ``parts``, with the number of their part as ``file``."""
    numbered = [part.assign(file=number) for number, part in enumerate(parts)]
    return pd.concat(numbered, ignore_index=True)


def _validated(frame: pd.DataFrame, path: str | os.PathLike) -> pd.DataFrame:
    """The records of ``path``, if all of them can be right."""
    missing = [name for name in REQUIRED if name not in frame]
    if missing:
        raise StoreError(f"{path}: column {missing[0]!r} is missing; expected records of runs")
    for name in REQUIRED:
        if name not in MAY_BE_EMPTY and frame[name].isna().any():
            key = frame["key"][frame[name].isna().idxmax()]
            raise StoreError(f"{path}: run {key}: {name} is missing; expected a complete record")
    if (twice := frame["key"][frame["key"].duplicated()]).size:
        raise StoreError(f"{path}: run {twice.iloc[0]} stands there twice")
    for name, (low, high) in NUMBERS.items():
        if name in frame:
            values = frame[name].dropna()
            wrong = values[~pd.to_numeric(values, errors="coerce").between(low, high)]
            if len(wrong):
                raise StoreError(
                    f"{path}: run {frame['key'][wrong.index[0]]}: {name} is {wrong.iloc[0]}, "
                    f"expected a number from {low:g} to {high:g}"
                )
    return frame.assign(variant=frame["variant"].fillna(""))


def _parsed(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            io.BytesIO(read_bytes(path, "expected records of runs")),
            dtype=dict.fromkeys(WORDS, str),
            keep_default_na=False,
            na_values=[""],
        )
    except ValueError as error:  # of pandas: no columns, ragged rows, not text
        reason = " ".join(str(error).split())
        raise StoreError(f"{path}: cannot be read as records of runs ({reason})") from None
    if "key" not in frame:
        raise StoreError(f"{path}: column 'key' is missing; expected records of runs")
    return frame


def shipped(folder: str) -> Path:
    """``results`` or ``benchmarks``: in a checkout at its top, else inside the package."""
    return (environment.checkout() or Path(lt_core.__file__).parent) / folder


def beside(path: Path, what: str) -> Path:
    """The file of ``what`` (``"classes"`` or ``"history"``) that belongs to ``path``."""
    return path.with_name(f"{path.stem}_{what}{path.suffix}")


def _results(found: Sequence[Run], set_aside: Sequence[str] = ()) -> Results:
    rows, classes, history, set_aside = [], [], [], list(set_aside)
    for run in found:
        try:
            parts = _classes(run), run.history.assign(key=run.key)
        except StoreError as error:  # damaged since it was looked at
            set_aside.append(str(error))
            continue
        rows.append({"key": run.key, **run.record})
        classes.append(parts[0])
        history.append(parts[1])
    if rows:
        results = Results(pd.DataFrame(rows), pd.concat(classes), pd.concat(history))
    else:
        columns = (REQUIRED, ("key", "class_rank", "images", "accuracy"), ("key", "epoch", "top1"))
        results = Results(*(pd.DataFrame(columns=names) for names in columns))
    results.runs.attrs["set_aside"] = set_aside
    return results


def _classes(run: Run) -> pd.DataFrame:
    counts = run.metrics["class_counts"]
    return pd.DataFrame(
        {
            "key": run.key,
            "class_rank": np.arange(len(counts)),
            "images": counts,
            "accuracy": run.metrics["class_accuracy"].round(6),
            "accuracy_rebalanced": run.metrics["class_accuracy_rebalanced"].round(6),
        }
    )
