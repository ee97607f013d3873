"""Where results live: the store of runs, their records, merging, and what made them.

``store`` keeps one directory per run, ``records`` one row per run in a CSV file,
``merging`` joins stores, ``environment`` names versions, hardware and commit. Reading a
finished run imports neither torch nor pandas.
"""

from lt_core.runs.store import (
    CHECKPOINTS,
    HISTORY,
    LOGITS,
    METRICS,
    RESULT,
    Run,
    Store,
    default_store,
    load,
    missing_store,
    open,
    read,
    scan,
)

__all__ = [
    "CHECKPOINTS",
    "HISTORY",
    "LOGITS",
    "METRICS",
    "RESULT",
    "Run",
    "Store",
    "default_store",
    "load",
    "missing_store",
    "open",
    "read",
    "scan",
]
