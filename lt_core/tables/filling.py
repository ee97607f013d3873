"""What a table's page shows: the runs that it asks for, or those of the committed records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lt_core import errors, training
from lt_core.runs import default_store, records
from lt_core.tables.plans import get, plan
from lt_core.tables.summary import BLOCK, cells, differences, largest_experiment, means, title


@dataclass(frozen=True)
class FilledTable:
    """The cells of a table and the results they come from.

    ``main`` are the cells of the experiment with the most runs, which figures draw at
    ``factor``. ``unfinished`` is what kept runs from being made, for the page to raise at its
    end.
    """

    cells: pd.DataFrame
    main: pd.DataFrame
    factor: float
    results: records.Results
    unfinished: errors.LtError | None

    @property
    def differences(self) -> dict[str, pd.DataFrame]:
        """Per data set the differences from softmax at ``factor``, where noise is known."""
        found = {}
        for name, part in self.cells[self.cells["n"] > 0].groupby("dataset", sort=False):
            table = differences(largest_experiment(part), self.factor)
            if table["p_holm"].notna().any():
                found[title(name)] = table
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """The page's numbers for the tests: how much was run, and the means of ``main``."""
        counts = {"cells": len(self.cells), "cells_run": int((self.cells["n"] > 0).sum())}
        return counts | {"published": int(self.cells["paper"].notna().sum())} | means(self.main)


def fill(
    table: str,
    request: Mapping[str, object],
    store: str | os.PathLike | None = None,
    resources: Mapping[str, object] | None = None,
    quick: bool = False,
) -> FilledTable:
    """Make the runs of ``request`` that ``store`` lacks, and gather what the table's page shows.

    ``request`` are arguments of :func:`lt_core.tables.plan`, ``resources`` those of
    :func:`lt_core.training.reproduce`. Without a data set nothing is trained: the cells are
    those of the committed records on the table's own data sets and factors. ``quick`` makes
    the first factor only, two seeds of three epochs. Runs that could not be made are
    reported and leave their cells empty.
    """
    request, planned, unfinished = dict(request), None, None
    if request.get("dataset"):
        if quick:
            first = plan(table, **request)[0].imbalance_factor
            request |= {"imbalance_factors": [first], "seeds": 2, "epochs": 3}
        planned, store = plan(table, **request), store or default_store()
        try:
            training.reproduce(planned, store, **(resources or {}))
        except (errors.TrainingError, errors.Unfinished, errors.BusyError) as error:
            unfinished = error
            print(error)
        results = records.of_store(store)
        shown = cells(results.runs, table, planned, request.get("methods"))
    else:
        results, entry = records.committed(), get(table)
        runs = results.runs
        ours = runs["dataset"].isin(entry.datasets) & (runs["subset_seed"] == 0)
        runs = runs[ours & runs["imbalance_factor"].isin(entry.factors)]
        shown = with_company(cells(runs, table, None, request.get("methods")))
    main = largest_experiment(shown)
    factors = set(main["imbalance_factor"])
    factor = 100 if 100 in factors else max(factors, default=100)
    return FilledTable(shown, main, factor, results, unfinished)


def with_company(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells without reduced experiments of one method only, which compare nothing."""
    methods = cells.groupby(list(BLOCK), dropna=False)["method"]
    return cells[cells["full"].astype(bool) | (methods.transform("nunique") > 1)]
