"""The runs that are wanted most, in order: what to do with ten minutes of a GPU."""

from __future__ import annotations

from lt_core.errors import unknown
from lt_core.tables.plans import plan
from lt_core.training.config import RunConfig, in_range

#: Arguments of :func:`~lt_core.tables.plan`, most wanted first. The last but two draws the
#: long-tailed subset anew with every seed: how much of the noise is the choice of images?
PARTS = (
    {"table": "table1", "dataset": ["cifar10", "cifar100"], "imbalance_factors": [100], "seeds": 5},
    {"table": "gala"},
    {"table": "table1", "dataset": ["cifar10", "cifar100"], "imbalance_factors": [500, 10]},
    {"table": "table3"},
    {"table": "grid"},
    *(
        {
            "table": "table1",
            "dataset": ["cifar10", "cifar100"],
            "imbalance_factors": [100],
            "methods": ["softmax", "seesaw"],
            "subset_seed": seed,
            "seeds": [seed],
        }
        for seed in range(1, 5)
    ),
    {"table": "table1", "dataset": "tinyimagenet32", "imbalance_factors": [100, 10]},
    {"table": "table1", "dataset": ["cifar10", "cifar100"], "imbalance_factors": [1]},
)


#: Why a cell has not been run, for ``cells(..., not_run=NOT_RUN)``. Data: TinyImageNet's
#: images of 64 pixels and half of CIFAR's, which only balanced data needs, are not at hand.
NOT_RUN = {
    **dict.fromkeys(("tinyimagenet", ("cifar10", 1), ("cifar100", 1)), "data"),
    **dict.fromkeys(("cifar10", "cifar100", "tinyimagenet32"), "no GPU"),
}


def wanted(
    precision: str = "float32",
    dataset: str | None = None,
    model: str | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
) -> list[RunConfig]:
    """Every run of every table that public data allows, most wanted first.

    ``dataset`` keeps the runs on one data set, for a machine that holds only that one.
    ``model`` and ``epochs`` make a rehearsal of it all, ``seeds`` limits the runs a cell.
    Raises ConfigError for a data set that none of the tables wants.
    """
    configs, known = {}, {}
    for part in PARTS:
        several = part.get("seeds", 3)
        if seeds is not None and isinstance(several, int):
            several = min(in_range("seeds", seeds, 1, 10_000), several)
        asked = {**part, "seeds": several, "model": model, "epochs": epochs}
        for config in plan(**asked, precision=precision):
            known[config.dataset] = True
            if dataset in (None, config.dataset):
                configs.setdefault(config.key, config)
    if not configs:
        raise unknown("data set of the wanted runs", dataset, known)
    return list(configs.values())
