"""The papers' tables, their published numbers, and the runs behind them."""

from __future__ import annotations

import functools
import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from lt_core import data, losses
from lt_core.errors import ConfigError, unknown
from lt_core.parameters import convert, listed
from lt_core.training.config import RunConfig, in_range

if TYPE_CHECKING:
    import pandas as pd

#: Published numbers that ship with the package.
PUBLISHED = ("table1", "table2", "table3", "gala")
REBALANCED = "+rebalance"


@dataclass(frozen=True)
class Row:
    """A row of a table: a method and its parameters.

    ``published`` is the row's label in the paper's numbers, empty where the paper's table does not
    have it. A row that was ``added`` to the paper's table is part of it on data that the paper did
    not use, unless rows are asked for by name. A re-balanced row needs no runs: it is computed from
    those of the row without, which record ``top1_rebalanced``.
    """

    label: str
    method: str
    params: Mapping = field(default_factory=dict)
    published: str | None = None
    added: bool = False

    @property
    def rebalanced(self) -> bool:
        return self.label.endswith(REBALANCED)


@dataclass(frozen=True)
class Table:
    """A table's rows, and what a full reproduction of it covers, the most important first.

    ``large`` are the paper's data sets whose images stay on disk, each with its factors, network
    and recipe; they are covered where they are asked for, or where there are no ``datasets``.
    """

    title: str
    rows: tuple[Row, ...]
    datasets: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()
    recipes: tuple[str, ...] = ()
    published: str | None = None
    large: Mapping[str, Mapping] = field(default_factory=dict)

    def network_on(self, dataset: str) -> str:
        """The network of the table on ``dataset``: its own, or the data set's."""
        return self.large.get(dataset, {}).get("model") or data.info(dataset).model

    def recipes_on(self, dataset: str) -> tuple[str, ...]:
        """The recipes that the table's runs on ``dataset`` are trained by.

        ``recipes`` are for photographs of 32 and 64 pixels, whose own recipe is LDAM-DRW's. Any
        other data set is trained by its own recipe in their place, digits for one; the caption of
        the table names the recipe, and no published number stands beside such cells.
        """
        if dataset in self.large:
            return (self.large[dataset]["recipe"],)
        own = data.info(dataset).recipe
        return self.recipes if self.recipes and own == "ldam_drw" else (own,)


def _row(entry: str | Mapping, added: bool = False) -> Row:
    """A row as ``tables.toml`` writes it: a label, or a label with parameters of the loss."""
    params = {"label": entry} if isinstance(entry, str) else dict(entry)
    label = params.pop("label")
    published = params.pop("published", label)
    method = label.partition("[")[0].removesuffix(REBALANCED)
    return Row(label, method, params, published, added)


def _table(rows: list, added: list = (), **entry: object) -> Table:
    several = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    both = (*map(_row, rows), *(_row(row, added=True) for row in added))
    return Table(rows=both, **entry | several)


_ENTRIES = tomllib.loads(resources.files("lt_core.tables").joinpath("tables.toml").read_text())
EVERY_RUN = tuple(_ENTRIES.pop("all"))
TABLES = {name: _table(**entry) for name, entry in _ENTRIES.items()}


def names() -> tuple[str, ...]:
    """The tables that can be planned."""
    return tuple(TABLES)


def get(table: str) -> Table:
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    return TABLES[table]


def rows(table: str | None = None) -> tuple[str, ...]:
    """Labels of a table's rows; without a table, all that any table can show."""
    if table is not None:
        return tuple(row.label for row in get(table).rows)
    labels = [row.label for entry in TABLES.values() for row in entry.rows]
    names = [name + after for after in ("", REBALANCED) for name in losses.names()]
    return tuple(dict.fromkeys([*labels, *names]))


def published(table: str) -> pd.DataFrame:
    """A paper's numbers: ``dataset, model, imbalance_factor, method, group, top1, source``.

    ``top1`` is in percent, one run each; ``group`` is ``all`` or a group of classes, cut
    as the paper cuts it. Raises ConfigError for an unknown table.
    """
    if table not in PUBLISHED:
        raise unknown("published table", table, PUBLISHED)
    return _published(table).copy()


@functools.cache
def _published(table: str) -> pd.DataFrame:
    import pandas as pd  # here: a table's name is refused without it

    with resources.files("lt_core.tables").joinpath("published", f"{table}.csv").open() as file:
        return pd.read_csv(file)


def plan(
    table: str,
    dataset: str | Sequence[str] | None = None,
    imbalance_factors: Iterable[float] | None = None,
    methods: Iterable[str] | None = None,
    seeds: int | Iterable[int] = 3,
    epochs: int | None = None,
    precision: str = "float32",
    recipe: str | Sequence[str] | None = None,
    subset_seed: int = 0,
    model: str | None = None,
    overrides: Mapping | None = None,
    holdout: int | None = None,
) -> list[RunConfig]:
    """The runs behind a table, or a part of it, the most important first: factors, then seeds.

    ``None`` stands for what the table covers; for data sets that are not the table's own, for the
    factors 100, 10 and 1, or 1 where they are taken as they are. Unless a ``recipe`` is given,
    :meth:`Table.recipes_on` says which the data set is trained by. ``methods`` are labels of rows
    or names of losses. ``seeds`` is how many, or which. ``model`` is another network than the
    data set's own, ``overrides`` are fields of the recipe that are replaced, ``holdout`` images
    of each class are kept from training and evaluated instead of the test set.

    Raises ConfigError for an unknown table, data set, method or recipe, with the nearest
    name, for a factor below 1 or one that leaves a class without an image, and for a list
    without an entry: what is asked for is at least one run.
    """
    entry = get(table)
    datasets = _asked("dataset", dataset) or entry.datasets or tuple(entry.large)
    asked = [find_row(table, label) for label in _asked("methods", methods)]
    factors_asked = _asked("imbalance_factors", imbalance_factors)
    factors_asked = [convert("imbalance_factor", factor, float) for factor in factors_asked]
    seeds, recipe = _seeds(seeds), _asked("recipe", recipe)
    configs = {}
    for name in datasets:
        about, large = data.info(name), entry.large.get(name, {})  # refuses an unknown name
        papers = name in entry.datasets or large
        chosen = asked or [row for row in entry.rows if not (papers and row.added)]
        factors = factors_asked or _default_factors(entry, name)
        factors = [1 if factor == about.natural_factor else factor for factor in factors]
        if head := about.head_count:
            for factor in factors:  # refuses one that leaves a class without an image
                data.class_counts(about.num_classes, head, factor)
        for factor, used in itertools.product(factors, recipe or entry.recipes_on(name)):
            for seed in seeds:
                for row in chosen:
                    config = RunConfig(
                        dataset=name,
                        method=row.method,
                        imbalance_factor=factor,
                        params=row.params,
                        recipe=used,
                        epochs=epochs,
                        precision=precision,
                        model=model or large.get("model"),
                        overrides=overrides or {},
                        seed=seed,
                        subset_seed=subset_seed,
                        holdout=holdout or 0,
                    )
                    configs.setdefault(config.key, config)
    return list(configs.values())


def find_row(table: str, label: str) -> Row:
    """The row called ``label``: one of the table's, or any loss, re-balanced or not."""
    for row in get(table).rows:
        if row.label == label:
            return row
    if str(label).removesuffix(REBALANCED) in losses.names():
        return _row(str(label), added=bool(get(table).published))
    raise unknown("method", label, dict.fromkeys([*rows(table), *losses.names()]))


def _asked(name: str, values: object) -> list:
    """The values asked for; none where None was given, while a list without any is refused."""
    found = listed(values)
    if values is not None and not found:
        raise ConfigError(f"{name}: expected at least one, got {values!r}; leave it out for all")
    return found


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    several = listed(seeds)
    if not isinstance(seeds, Iterable) or (isinstance(seeds, str) and len(several) == 1):
        return list(range(in_range("seeds", seeds, 1, 10_000)))
    return _asked("seeds", several)


def _default_factors(entry: Table, dataset: str) -> tuple[float, ...]:
    head = data.info(dataset).head_count
    if head is None:  # taken as it is
        return tuple(entry.large.get(dataset, {}).get("factors", (1,)))
    usual = entry.factors if dataset in entry.datasets else (100, 10, 1)
    return tuple(factor for factor in usual if head >= factor)


def plan_all(
    precision: str = "float32",
    dataset: str | None = None,
    model: str | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
) -> list[RunConfig]:
    """The runs that ``tables.toml`` lists under ``all``, the most important first.

    ``dataset`` keeps the runs on one data set, for a machine that holds only that one.
    ``model`` and ``epochs`` make a rehearsal of it all, ``seeds`` limits the runs per cell.
    Raises ConfigError for a data set that none of these runs has.
    """
    configs, known = {}, {}
    for part in EVERY_RUN:
        part = {"seeds": 3, **part, "model": model, "epochs": epochs, "precision": precision}
        if seeds is not None:
            part["seeds"] = min(in_range("seeds", seeds, 1, 10_000), part["seeds"])
        drawn = part.pop("subset_seeds", None)  # one run each, on images of its own
        parts = [{**part, "subset_seed": s, "seeds": [s]} for s in drawn or ()] or [part]
        for config in itertools.chain.from_iterable(plan(**each) for each in parts):
            known[config.dataset] = True
            if dataset in (None, config.dataset):
                configs.setdefault(config.key, config)
    if not configs:
        raise unknown("data set of 'all'", dataset, known)
    return list(configs.values())
