"""Records of runs that were never made, so that every number of a table is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lt_core import tables
from lt_core.training import RunConfig


def records(configs: list[RunConfig], top1=None) -> pd.DataFrame:
    """Records as the store gives them; ``top1(config)`` in percent."""
    top1 = top1 or (lambda config: 70.0 + config.seed)
    rows = [
        {
            "key": config.key,
            "dataset": config.dataset,
            "imbalance_factor": config.imbalance_factor,
            "subset_seed": config.subset_seed,
            "holdout": config.holdout,
            "method": config.method,
            "variant": config.variant,
            "model": config.model,
            "classifier": config.classifier,
            "recipe": config.recipe,
            "overrides": config.overrides_text,
            "epochs": config.epochs,
            "precision": config.precision,
            "seed": config.seed,
            "top1": top1(config),
            "top1_many": 90.0,
            "top1_medium": np.nan,
            "top1_few": 30.0 + config.seed,
            "top1_rebalanced": top1(config) + 1.5,
            "top1_many_rebalanced": 80.0,
            "top1_medium_rebalanced": np.nan,
            "top1_few_rebalanced": 50.0,
            "top1_best": top1(config) + 0.5,
        }
        for config in configs
    ]
    return pd.DataFrame(rows)


def of_the_paper(offset=0.0, dataset="cifar10", methods=("softmax", "focal"), **about):
    """A plan at factor 100 and its records, whose mean is ``offset`` above the paper's softmax."""
    plan = tables.plan("table1", dataset, [100], methods, **about)
    return plan, records(plan, lambda config: 71.74 + offset + 0.3 * (config.seed - 1))


def full_and_short():
    """Cells of two runs in full and of four shortened ones, with their records."""
    full = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2)
    short = tables.plan("table1", "cifar10", [100], ["softmax", "gala"], seeds=2, epochs=5)
    frame = records([*full, *short]).assign(hardware="a core", pack=1, seconds=90.0)
    return tables.cells(frame, "table1", [*full, *short]), frame
