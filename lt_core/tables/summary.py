"""From records of runs to a table's cells, with the paper beside them where it may be."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from lt_core.parameters import listed
from lt_core.tables.grouping import (
    BLOCK,
    GROUPS,
    PROTOCOL,
    Group,
    cleaned,
    found_groups,
    planned_groups,
)
from lt_core.tables.plans import Row, Table, find_row, get, published
from lt_core.tables.statistics import Spread, pooled_sd, prediction_interval, verdict
from lt_core.training import recipes
from lt_core.training.config import RunConfig

COLUMNS = (
    *PROTOCOL,
    *("method", "beyond", "rebalanced", "full", "n", "planned", "mean", "sd", "mean_best"),
    *GROUPS,
    *("pooled_sd", "df", "low", "high", "paper", "verdict", "verdict_best"),
    *("seeds", "values", "keys"),
)


def cells(
    records: pd.DataFrame,
    table: str,
    plan: Iterable[RunConfig] | None = None,
    methods: Iterable[str] | None = None,
) -> pd.DataFrame:
    """One row a cell of ``table``, from the finished runs in ``records``.

    With a ``plan`` exactly its runs count, by key. Without one, all runs of the table's
    rows and recipe count, by today's defaults, except those that held images out. A cell
    of the paper that has no full run is there with ``n = 0``. ``methods``, as :func:`plan
    <lt_core.tables.plan>` takes them, add re-balanced rows that the table itself lacks.

    Columns: the protocol (``dataset``, ``imbalance_factor``, ``model``, ``recipe``,
    ``epochs``, ``precision``, …), ``method`` (the row's label, with the classifier where
    it is not the method's usual one), ``rebalanced``, ``full`` (the recipe as it is,
    nothing shortened or changed), ``n`` finished of ``planned`` runs, ``mean`` and ``sd``
    of the last epoch in percent, ``mean_best`` of the best epoch, the groups ``many``,
    ``medium``, ``few``, ``pooled_sd`` and ``df`` over comparable cells (of the accuracies
    after re-balancing for a re-balanced row) with the 95 % prediction interval ``low``,
    ``high`` for one new run, ``paper``, ``verdict`` and ``verdict_best`` (*agrees*,
    *differs*, *no verdict (why)*, *not run*), and the runs behind it: their
    ``seeds``, ``values`` and ``keys``.

    The paper's value is given only beside the full recipe, the paper's data and network,
    and seeds that were all trained on the same images.
    Comparable cells are those of one protocol: same data, factor, network and recipe.
    """
    entry = get(table)
    records = cleaned(records)
    groups = found_groups(records, table) if plan is None else planned_groups(records, plan)
    asked = [find_row(table, label) for label in listed(methods)]
    lines = _lines(entry, groups, asked, extras=plan is not None)
    spreads = {name: _spreads(groups, name) for name in ("top1", "top1_rebalanced", "top1_best")}
    datasets = list(dict.fromkeys([*entry.datasets, *(group.dataset for group in groups)]))
    found = []
    for position, line in enumerate(lines):
        for group in groups:
            if (group.method, group.variant) == (line.method, line.variant):
                block = (_order(getattr(group, name)) for name in BLOCK)
                where = (datasets.index(group.dataset), -group.imbalance_factor, *block)
                cell = _cell(line, group, entry, spreads)
                found.append(((*where, position), cell))
    found.sort(key=lambda pair: pair[0])
    return pd.DataFrame([cell for _, cell in found], columns=COLUMNS)


def by_class(
    cells: pd.DataFrame, factor: float, classes: pd.DataFrame
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Training images ``(C,)``, and by method the test accuracy ``(seeds, C)`` as fractions.

    ``cells`` of one protocol, at ``factor``; ``classes`` as in
    :class:`lt_core.runs.records.Results`. Methods and runs that it does not hold are left out.
    """
    counts, found = np.array([], dtype=int), {}
    runs = dict(list(classes.sort_values("class_rank").groupby("key")))
    for _, cell in cells[cells["imbalance_factor"] == factor].iterrows():
        name = "accuracy_rebalanced" if cell["rebalanced"] else "accuracy"
        if keys := [key for key in cell["keys"] if key in runs]:
            counts = runs[keys[0]]["images"].to_numpy()
            found[cell["method"]] = np.stack([runs[key][name].to_numpy() for key in keys])
    return counts, found


def by_epoch(
    cells: pd.DataFrame, factor: float, history: pd.DataFrame
) -> dict[str, list[pd.DataFrame]]:
    """By method the histories of its runs at ``factor``, as ``plots.training_curves`` takes them.

    ``history`` as in :class:`lt_core.runs.records.Results`; a re-balanced row has none of its own.
    """
    runs = dict(list(history.groupby("key")))
    part = cells[(cells["imbalance_factor"] == factor) & ~cells["rebalanced"].astype(bool)]
    found = {
        cell["method"]: [runs[key] for key in cell["keys"] if key in runs]
        for _, cell in part.iterrows()
    }
    return {method: histories for method, histories in found.items() if histories}


def fullest(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of one experiment: full recipes before reduced ones, then the most runs.

    One experiment is one data set, network, recipe and so on; factors and methods differ.
    """
    blocks = [block for _, block in cells.groupby(list(BLOCK), sort=False, dropna=False)]
    made = [block for block in blocks if block["n"].sum()]
    if not made:
        return cells.iloc[:0]
    return max(made, key=lambda block: (bool(block["full"].all()), block["n"].sum()))


def with_company(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells without reduced experiments of one method only, which compare nothing."""
    methods = cells.groupby(list(BLOCK), dropna=False)["method"]
    return cells[cells["full"].astype(bool) | (methods.transform("nunique") > 1)]


def means(cells: pd.DataFrame) -> dict[str, float]:
    """``method@factor``: mean accuracy in percent, for every cell that was run."""
    run = cells[cells["n"] > 0]
    return {f"{c['method']}@{c['imbalance_factor']:g}": c["mean"] for _, c in run.iterrows()}


def trace(cells: pd.DataFrame) -> pd.DataFrame:
    """The runs behind ``cells``, a row a run: where it stands, its seed, ``top1`` and key."""
    where = [*BLOCK, "imbalance_factor", "method", "seeds", "values", "keys"]
    frame = cells.loc[cells["n"] > 0, where].explode(["seeds", "values", "keys"])
    return frame.rename(columns={"seeds": "seed", "values": "top1", "keys": "key"})


def _order(value: object) -> tuple[float, str]:
    """A key that sorts numbers as numbers; text, and what a record lacks, as text."""
    return (0.0, str(value)) if isinstance(value, str) or pd.isna(value) else (float(value), "")


class _Line(NamedTuple):
    """A row of the table with the runs it is computed from, named as records name them."""

    label: str
    method: str
    variant: str
    published: str | None
    rebalanced: bool
    beyond: bool = False


def _lines(entry: Table, groups: list[Group], asked: list[Row], extras: bool) -> list[_Line]:
    """The table's rows that have a group, then other rows that were asked for or planned."""
    present = dict.fromkeys((group.method, group.variant) for group in groups)
    rows = [*entry.rows, *entry.beyond]
    rows += [row for row in asked if row.rebalanced and row not in rows]
    lines = [
        _Line(
            row.label,
            *_identity(row.method, **row.params),
            row.published,
            row.rebalanced,
            row in entry.beyond,
        )
        for row in rows
    ]
    lines = [line for line in lines if (line.method, line.variant) in present]
    known = {(line.method, line.variant) for line in lines if not line.rebalanced}
    for method, variant in present:
        if extras and (method, variant) not in known:
            name = f"{method}[{variant}]" if variant else method
            taken = any(line.label == name for line in lines)  # by a row with other parameters
            label = f"{name} (defaults)" if taken else name
            lines.append(_Line(label, method, variant, name, False))
    return lines


@functools.cache
def _identity(method: str, **params: object) -> tuple[str, str]:
    return method, RunConfig("digits", method, params=params).variant


def _spreads(groups: list[Group], column: str) -> dict[tuple, Spread]:
    """The pooled spread of one run's ``column`` over comparable methods."""
    values = {}
    for group in groups:
        values.setdefault(group.comparable, []).append(group.runs[column])
    return {comparable: pooled_sd(columns) for comparable, columns in values.items()}


def _cell(line: _Line, group: Group, entry: Table, spreads: Mapping) -> dict:
    suffix = "_rebalanced" if line.rebalanced else ""
    column = f"top1{suffix}"
    finished = group.runs.dropna(subset=[column])
    values = finished[column].astype(float)
    best = values.iloc[:0] if line.rebalanced else finished["top1_best"].dropna().astype(float)
    n = len(values)
    spread = spreads[column].get(group.comparable, Spread(np.nan, 0))
    low, high = prediction_interval(values.mean(), n, spread)
    paper, reason = _paper(line, group, entry)
    if "data_sha256" in finished and len(set(finished["data_sha256"])) > 1:
        paper, reason = np.nan, "its seeds saw different images"
    cell = dict(zip(PROTOCOL, group.protocol, strict=True))
    unusual = "" if group.has_usual_classifier else f" ({group.classifier})"
    cell |= {
        "method": f"{line.label}{unusual}",
        "beyond": line.beyond,
        "rebalanced": line.rebalanced,
        "full": group.is_full,
        "n": n,
        "planned": group.planned,
    }
    cell |= {"mean": values.mean(), "sd": values.std(), "mean_best": best.mean()}
    cell |= {name: finished[f"top1_{name}{suffix}"].astype(float).mean() for name in GROUPS}
    cell |= {"pooled_sd": spread.sd, "df": spread.df, "low": low, "high": high, "paper": paper}
    cell |= {
        "seeds": tuple(finished["seed"]),
        "values": tuple(values),
        "keys": tuple(finished["key"]),
    }
    if n == 0:
        cell["verdict"] = cell["verdict_best"] = "not run"
    elif reason:
        cell["verdict"] = cell["verdict_best"] = f"no verdict ({reason})"
    else:
        cell["verdict"] = verdict(paper, values.mean(), n, spread)
        spread = spreads["top1_best"].get(group.comparable, Spread(np.nan, 0))
        unknown_best = "no verdict (best epoch unknown)"
        cell["verdict_best"] = (
            verdict(paper, best.mean(), len(best), spread) if len(best) else unknown_best
        )
    return cell


def _paper(line: _Line, group: Group, entry: Table) -> tuple[float, str]:
    """The paper's value where it may stand beside the cell, else NaN and why not."""
    if entry.published is None:
        return np.nan, "no published number"
    numbers = published(entry.published)
    numbers = numbers[(numbers["group"] == "all") & (numbers["dataset"] == group.dataset)]
    if numbers.empty:
        return np.nan, "other data"
    numbers = numbers[
        (numbers["imbalance_factor"] == group.imbalance_factor)
        & (numbers["method"] == line.published)
    ]
    if numbers.empty:
        return np.nan, "no published number"
    if group.recipe not in entry.recipes or group.overrides:
        return np.nan, "other recipe"
    if not group.is_full:
        return np.nan, f"{group.epochs:g} of {recipes.get(group.recipe).epochs} epochs"
    if group.model != numbers["model"].iloc[-1] or not group.has_usual_classifier:
        return np.nan, "other network"
    if group.holdout:
        return np.nan, "fewer training images"
    return float(numbers["top1"].iloc[-1]), ""
