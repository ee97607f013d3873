"""Which finished runs belong together: those that differ in their seed only."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.tables.plans import get
from lt_core.tables.plans import plan as full_plan
from lt_core.training import recipes
from lt_core.training.config import RunConfig, changed_fields, overrides_text, variant_of

#: Groups of classes, by their number of training images.
GROUPS = ("many", "medium", "few")

#: Cells that differ in these are different experiments, and stand in tables of their own.
BLOCK = ("dataset", "model", "recipe", "overrides", "epochs", "precision", "subset_seed", "holdout")

#: Runs that agree in these, the method and its parameters differ in the seed only.
PROTOCOL = (*BLOCK, "imbalance_factor", "classifier")


@dataclass(frozen=True)
class Group:
    """The finished runs of a method under one protocol, of ``planned`` that were wanted."""

    method: str
    variant: str
    protocol: tuple
    runs: pd.DataFrame
    planned: int

    @property
    def comparable(self) -> tuple[str, ...]:
        """What cells share whose runs scatter alike; a cosine classifier is part of a method."""
        named = zip(PROTOCOL, self.protocol, strict=True)
        return tuple(str(value) for name, value in named if name != "classifier")

    @property
    def is_full(self) -> bool:
        """The recipe as it is, nothing shortened or changed."""
        return self.epochs == recipes.get(self.recipe).epochs and not self.overrides

    @property
    def has_usual_classifier(self) -> bool:
        takes_cosines = losses.loss_class(self.method).takes_cosines
        return self.classifier == ("cosine" if takes_cosines else "linear")

    def __getattr__(self, name: str) -> object:
        if name in PROTOCOL:
            return self.protocol[PROTOCOL.index(name)]
        raise AttributeError(name)


def cleaned(records: pd.DataFrame) -> pd.DataFrame:
    """Every column there, each run once; text that a CSV file left empty is empty text."""
    texts = ("variant", "overrides", "params", "recipe_numbers")
    numbers = [f"top1{g}{s}" for g in ("", *(f"_{g}" for g in GROUPS)) for s in ("", "_rebalanced")]
    columns = ["key", "method", "seed", *texts, *PROTOCOL, *numbers, "top1_best"]
    frame = records.reindex(columns=list(dict.fromkeys([*records.columns, *columns])))
    defaults = dict.fromkeys(texts, "") | {"holdout": 0, "subset_seed": 0}
    frame = frame.astype(dict.fromkeys(texts, object)).fillna(defaults)
    return frame.drop_duplicates("key")


def planned_groups(records: pd.DataFrame, plan: Iterable[RunConfig]) -> list[Group]:
    """The groups of ``plan`` with those of its runs that ``records`` hold, by key."""
    together = {}
    for config in plan:
        texts = {"overrides": config.overrides_text}
        protocol = tuple(texts.get(name, getattr(config, name)) for name in PROTOCOL)
        together.setdefault((config.method, config.variant, protocol), []).append(config.key)
    return [
        Group(*key, runs=records[records["key"].isin(keys)], planned=len(set(keys)))
        for key, keys in together.items()
    ]


def found_groups(records: pd.DataFrame, table: str) -> list[Group]:
    """Groups of all runs that belong to the table, then the paper's cells without any.

    A run that held images out was not evaluated on the test set and belongs to no table.
    """
    entry = get(table)
    records = records[records["recipe"].isin(entry.recipes) & (records["holdout"] == 0)]
    records = _by_todays_defaults(records)
    by = ["method", "variant", *PROTOCOL]
    groups = [
        Group(*key[:2], tuple(key[2:]), runs, len(runs))
        for key, runs in records.groupby(by, sort=False, dropna=False)
        if key[0] in losses.names()
    ]
    there = {_place(g) for g in groups if g.is_full and g.has_usual_classifier}
    planned = planned_groups(records.iloc[:0], full_plan(table))
    return [*groups, *(group for group in planned if _place(group) not in there)]


def _place(group: Group) -> tuple:
    where = (group.dataset, group.imbalance_factor, group.model, group.recipe)
    return (group.method, group.variant, *where)


def _by_todays_defaults(records: pd.DataFrame) -> pd.DataFrame:
    """``variant`` and ``overrides`` as they would be called now.

    A record names what differed from the defaults of its day. Its full numbers, ``params``
    and ``recipe_numbers``, tell what differs from today's, so that runs made before and
    after a default changed are never averaged. Records without them are taken at their word.
    """
    records = records.copy()
    named = zip(records["method"], records["params"], records["variant"], strict=True)
    records["variant"] = pd.Series([_variant(*n) for n in named], records.index, dtype=object)
    named = zip(records["recipe"], records["recipe_numbers"], records["overrides"], strict=True)
    records["overrides"] = pd.Series([_overrides(*n) for n in named], records.index, dtype=object)
    return records


@functools.cache
def _variant(method: str, params: str, recorded: str) -> str:
    if not params:
        return recorded
    try:
        given = dict(json.loads(params))
        reduction = given.pop("reduction", "mean")
        return variant_of(method, {"reduction": reduction, **losses.converted(method, given)})
    except (ConfigError, ValueError, TypeError):  # a parameter that is no more, or no parameters
        return params


@functools.cache
def _overrides(recipe: str, numbers: str, recorded: str) -> str:
    if not numbers:
        return recorded
    try:
        return overrides_text(changed_fields(recipe, dict(json.loads(numbers))))
    except (ConfigError, ValueError, TypeError):  # a field that is no more, or no numbers
        return numbers
