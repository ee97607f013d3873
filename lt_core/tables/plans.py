"""The papers' tables, their published numbers, and the runs behind them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import pandas as pd

from lt_core import data, losses
from lt_core.errors import ConfigError, unknown
from lt_core.parameters import convert, listed
from lt_core.training.config import RunConfig, in_range

#: Published numbers that ship with the package; table2 is kept for reading only.
PUBLISHED = ("table1", "table2", "table3", "gala")
REBALANCED = "+rebalance"


@dataclass(frozen=True)
class Row:
    """One line of a table. ``published`` is its label in the paper's numbers.

    A re-balanced row is computed from the runs of the row without: their column
    ``top1_rebalanced``. It needs no runs of its own.
    """

    label: str
    method: str
    params: Mapping = field(default_factory=dict)
    published: str | None = None

    @property
    def rebalanced(self) -> bool:
        return self.label.endswith(REBALANCED)


@dataclass(frozen=True)
class Table:
    """A table's rows, and what a full reproduction of it covers, most wanted first.

    ``beyond`` are rows that the paper's table does not have. They join it where the data
    are not the paper's either, unless rows are asked for by name.
    """

    title: str
    rows: tuple[Row, ...]
    datasets: tuple[str, ...]
    factors: tuple[float, ...]
    recipes: tuple[str, ...]
    published: str | None = None
    beyond: tuple[Row, ...] = ()


def _row(label: str, published: str | None = None, **params: object) -> Row:
    return Row(label, label.partition("[")[0].removesuffix(REBALANCED), params, published or label)


_TABLE1 = (
    "softmax",
    "class_balanced",
    "focal",
    "ghm",
    "effective_number",
    "equalization",
    "seesaw",
    "icb",
    "gala",
    "gala+rebalance",
)
_GRID = ("softmax", "balanced_softmax", "logit_adjustment", "ldam", "gcl", "seesaw", "icb", "gala")


def _as_published(method: str) -> Row:
    # LDAM-DRW divides by the sum of the weights, so that re-weighting keeps the step's size.
    return _row(method, reduction="weighted_mean") if method == "ldam" else _row(method)


TABLES = {
    "table1": Table(
        title="Top-1 accuracy of eight losses, and GALA, on long-tailed data",
        rows=tuple(map(_row, _TABLE1)),
        datasets=("cifar10", "cifar100", "tinyimagenet"),
        factors=(100, 500, 10, 1),
        recipes=("ldam_drw",),
        published="table1",
        beyond=tuple(map(_as_published, ("ldam", "balanced_softmax", "logit_adjustment", "gcl"))),
    ),
    "gala": Table(
        title="GALA, as in the paper and as released, with and without re-balancing",
        rows=(
            _row("softmax"),
            _row("softmax+rebalance"),
            _row("gala"),
            _row("gala+rebalance"),
            _row("gala[released]", "gala", variant="released"),
            _row("gala[released]+rebalance", "gala+rebalance", variant="released"),
        ),
        datasets=("cifar100",),
        factors=(200, 100, 50, 10),
        recipes=("gala",),
        published="gala",
    ),
    "table3": Table(
        title="What each part of ICB adds",
        rows=(
            _row("softmax"),
            _row("icb[inter]", intra=False),
            _row("icb[intra,ura]", inter=False, density="uniform"),
            _row("icb[inter,intra,ura]", density="uniform"),
            _row("icb[inter,intra,aura]"),
            _row("seesaw[q=0]", q=0),
            _row("seesaw[q=2]", q=2),
        ),
        datasets=("cifar100", "tinyimagenet32", "cifar10"),  # for want of ImageNet-LT
        factors=(100,),
        recipes=("ldam_drw",),
        published="table3",
    ),
    "grid": Table(
        title="What is the loss, what is the recipe?",
        rows=tuple(map(_as_published, _GRID)),
        datasets=("cifar10", "cifar100"),
        factors=(100,),
        recipes=("ldam_drw", "gala"),
    ),
}


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
        return tuple(row.label for row in (*get(table).rows, *get(table).beyond))
    labels = [row.label for entry in TABLES.values() for row in (*entry.rows, *entry.beyond)]
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
    with resources.files("lt_core").joinpath("published", f"{table}.csv").open() as file:
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
) -> list[RunConfig]:
    """The runs behind a table, or a part of it, most wanted first: factors, then seeds.

    ``None`` stands for what the table covers; for data sets that are not the table's own,
    for the factors 100, 10 and 1 and the data set's own recipe. ``methods`` are labels of
    rows or names of losses. ``seeds`` is how many, or which. ``model`` is another network
    than the data set's own.

    Raises ConfigError for an unknown table, data set, method or recipe, with the nearest
    name, for a factor below 1 or one that leaves a class without an image, and for a list
    without an entry: what is asked for is at least one run.
    """
    entry = get(table)
    datasets = _asked("dataset", dataset) or entry.datasets
    asked = [find_row(table, label) for label in _asked("methods", methods)]
    factors_asked = _asked("imbalance_factors", imbalance_factors)
    factors_asked = [convert("imbalance_factor", factor, float) for factor in factors_asked]
    seeds, recipe = _seeds(seeds), _asked("recipe", recipe)
    configs = {}
    for name in datasets:
        beyond = () if name in entry.datasets else entry.beyond
        chosen = asked or [*entry.rows, *beyond]
        factors = factors_asked or _default_factors(entry, name)
        if head := data.info(name).head_count:  # refuses an unknown name
            for factor in factors:  # refuses one that leaves a class without an image
                data.class_counts(data.info(name).num_classes, head, factor)
        for factor, used in itertools.product(factors, recipe or _recipes(entry, name)):
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
                        model=model,
                        seed=seed,
                        subset_seed=subset_seed,
                    )
                    configs.setdefault(config.key, config)
    return list(configs.values())


def find_row(table: str, label: str) -> Row:
    """The row called ``label``: one of the table's, or any loss, re-balanced or not."""
    for row in (*get(table).rows, *get(table).beyond):
        if row.label == label:
            return row
    if str(label).removesuffix(REBALANCED) in losses.names():
        return _row(label)
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
        return (1,)
    wanted = entry.factors if dataset in entry.datasets else (100, 10, 1)
    return tuple(factor for factor in wanted if head >= factor)


def _recipes(entry: Table, dataset: str) -> list[str | None]:
    """The table's recipes, or the data set's own where it is none of them."""
    own = data.info(dataset).recipe
    return list(entry.recipes) if own in {"ldam_drw", None} else [own]
