"""The papers' tables: the runs they need, and their cells from what has been run.

A *row* of a table is a method, possibly with parameters, possibly re-balanced after
training. A *plan* is the list of runs that fill some of a table's cells. A *cell* is
what the finished runs of one row, data set, factor and recipe have come to.

>>> from lt_core import tables
>>> len(tables.plan("table1", dataset="digits"))  # three seeds
117
>>> print(tables.render(tables.cells(lt_core.runs.load("runs"), "table1")))  # doctest: +SKIP
"""

from lt_core.tables.cells import by_class, by_epoch, cells, fullest, means, trace, with_company
from lt_core.tables.plans import TABLES, Row, Table, find_row, get, names, plan, published, rows
from lt_core.tables.reading import (
    command,
    coverage,
    differences,
    flattery,
    provenance,
    ranking,
    significance,
    trade,
)
from lt_core.tables.rendering import (
    Rendered,
    render,
    render_cost,
    render_differences,
    render_groups,
    render_trace,
)
from lt_core.tables.wanted import NOT_RUN, wanted

__all__ = [
    "NOT_RUN",
    "TABLES",
    "Rendered",
    "Row",
    "Table",
    "by_class",
    "by_epoch",
    "cells",
    "command",
    "coverage",
    "differences",
    "find_row",
    "flattery",
    "fullest",
    "get",
    "means",
    "names",
    "plan",
    "provenance",
    "published",
    "ranking",
    "render",
    "render_cost",
    "render_differences",
    "render_groups",
    "render_trace",
    "rows",
    "significance",
    "trace",
    "trade",
    "wanted",
    "with_company",
]
