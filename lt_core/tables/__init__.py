"""The papers' tables: the runs they need, and their cells from what has been run.

A *row* of a table is a method, possibly with parameters, possibly re-balanced after
training; all rows are listed in ``tables.toml``. A *plan* is the list of runs that fill some
of a table's cells. A *cell* is what the finished runs of one row, data set, factor and recipe
have come to. ``plans`` makes runs of rows, ``summary`` cells of runs by ``statistics``, and
``filling`` does both for a page; ``rendering`` and ``sentences`` show the cells.

>>> from lt_core import runs, tables
>>> plan = tables.plan("table1", dataset="digits")  # three seeds
>>> len(plan)
117
>>> print(tables.render(tables.cells(runs.load("runs"), "table1", plan)))  # doctest: +SKIP
"""

from lt_core import lazily

_HOMES = {
    "filling": "FilledTable fill",
    "plans": "TABLES Row Table find_row get names plan plan_all published rows",
    "rendering": "Rendered render render_cost render_differences render_groups"
    " render_frame render_published render_side_by_side render_trace",
    "sentences": "command commands coverage flattery provenance ranking remarks significance trade",
    "summary": "by_class cells covered differences largest_experiment means repeated title trace",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

# A module is imported with the first of its names: a wrong name is refused without pandas.
__getattr__ = lazily(__name__, _HOME_OF)
