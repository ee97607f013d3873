"""The runs that are wanted most, in order: what to do with ten minutes of a GPU."""

from __future__ import annotations

from lt_core.tables.plans import plan
from lt_core.training.config import RunConfig

#: Arguments of :func:`~lt_core.tables.plan`, most wanted first.
PARTS = (
    {"table": "table1", "dataset": ["cifar10", "cifar100"], "imbalance_factors": [100], "seeds": 5},
    {"table": "gala", "seeds": 3},
    {"table": "table1", "dataset": ["cifar10", "cifar100"], "imbalance_factors": [500, 10]},
    {"table": "table3", "seeds": 3},
    {"table": "grid", "seeds": 3},
    {"table": "table1", "dataset": "tinyimagenet32", "imbalance_factors": [100, 10]},
)


def wanted(precision: str = "float32", dataset: str | None = None) -> list[RunConfig]:
    """Every run of every table that public data allows, most wanted first.

    ``dataset`` keeps the runs on one data set, for a machine that holds only that one.
    """
    configs = {}
    for part in PARTS:
        for config in plan(**part, precision=precision):
            if dataset in (None, config.dataset):
                configs.setdefault(config.key, config)
    return list(configs.values())
