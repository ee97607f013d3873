"""Joining stores that were filled on several machines."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lt_core.errors import StoreError
from lt_core.runs import (
    HISTORY,
    LOGITS,
    METRICS,
    RESULT,
    Store,
    reported,
    scan,
    write_atomically,
)

#: What two machines may differ in without contradicting each other.
CIRCUMSTANCES = (
    "seconds",
    "device",
    "hardware",
    "torch",
    "python",
    "lt_core",
    "commit",
    "finished",
)


def merge(
    sources: Sequence[str | os.PathLike], store: str | os.PathLike | Store
) -> tuple[int, int]:
    """Copy the finished runs of ``sources`` into ``store``; how many were new and known.

    Everything is looked at before anything is written. Raises StoreError for a source
    with damaged runs, and for two runs with one key and different numbers.
    """
    store = store if isinstance(store, Store) else Store(store)
    present = {run.key: run for run in scan(store)[0]}
    incoming, known = {}, 0
    for source in sources:
        found, set_aside = scan(source)
        if set_aside:
            raise StoreError(f"{source}: {len(set_aside)} runs do not count: {set_aside[0]}")
        if not found:
            raise StoreError(f"{source}: holds no finished run; expected a store of runs")
        for run in found:
            twin = present.get(run.key) or incoming.get(run.key)
            if twin is None:
                incoming[run.key] = run
                continue
            known += 1
            for name, value in run.record.items():
                if name not in CIRCUMSTANCES and twin.record.get(name) != value:
                    raise StoreError(
                        f"run {run.key}: {name} is {value} in {run.path} and "
                        f"{twin.record.get(name)} in {twin.path}; nothing was merged, "
                        "move one of the two away"
                    )
    store.prepare()
    for key, run in incoming.items():
        with store.lock(key), reported(store.path):
            names = [METRICS, HISTORY, *([LOGITS] if run.has_logits else [])]
            contents = {name: run.content(name) for name in names}
            for name, content in contents.items():
                write_atomically(store.directory(key) / name, content)
            content = (run.path / RESULT).read_bytes()
            write_atomically(store.directory(key) / RESULT, content)
    return len(incoming), known
