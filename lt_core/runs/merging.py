"""Joining stores that were filled on several machines."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lt_core import write_atomically
from lt_core.errors import StoreError
from lt_core.runs.store import (
    CHECKPOINTS,
    HISTORY,
    LOGITS,
    METRICS,
    RESULT,
    Run,
    Store,
    missing_store,
    read,
    read_bytes,
    reported,
    scan,
)

#: Fields of a record in which two machines may differ for the same run.
CIRCUMSTANCES = (
    "seconds",
    "pack",
    "deterministic",
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
    """Copy the finished runs of ``sources`` into ``store``.

    Returns how many runs were new and how many were there already. Everything is read and
    checked before anything is written. Raises StoreError for a source with damaged runs, for
    two runs with the same key and different numbers, and for a run in whose place ``store``
    holds a damaged one: nothing overwrites that, move it away by hand.
    """
    store = store if isinstance(store, Store) else Store(store)
    incoming, known = {}, 0
    for source in sources:
        found, set_aside = scan(source)
        if set_aside:
            raise StoreError(f"{source}: {len(set_aside)} runs do not count: {set_aside[0]}")
        if not found:
            why = missing_store(source)
            raise StoreError(
                f"{source}: holds no finished run; expected a store of runs"
                + (f", and {why}" if why else "")
            )
        for run in found:
            twin = incoming.get(run.key) or _finished(store, run.key)
            if twin is None:
                for name in _names(run):
                    run.content(name)  # refuses a file that is not what it was
                incoming[run.key] = run
            else:
                _compare(run, twin)
                known += 1
    store.prepare()
    for key, run in incoming.items():
        contents = {name: run.content(name) for name in _names(run)}
        contents[RESULT] = read_bytes(run.path / RESULT)  # last, as always
        with store.lock(key), reported(store.path):
            twin = _finished(store, key)
            if twin is not None:  # by another process, since we looked
                _compare(run, twin)
                continue
            if LOGITS not in contents:  # those of a start that was made here are others
                (store.directory(key) / LOGITS).unlink(missing_ok=True)
            for name, content in contents.items():
                write_atomically(store.directory(key) / name, content)
            for name in CHECKPOINTS:
                (store.directory(key) / name).unlink(missing_ok=True)
    return len(incoming), known


def _finished(store: Store, key: str) -> Run | None:
    """The finished run in ``store``, or None; StoreError if it is there and does not count."""
    return read(store.directory(key)) if store.is_finished(key) else None


def _names(run: Run) -> list[str]:
    return [METRICS, HISTORY, *([LOGITS] if run.has_logits else [])]


def _compare(run: Run, twin: Run) -> None:
    for name, value in run.record.items():
        # A field that one version records and another does not is no contradiction.
        other = twin.record.get(name, value)
        if name not in CIRCUMSTANCES and other != value:
            raise StoreError(
                f"run {run.key}: {name} is {value} in {run.path} and {other} in {twin.path}; "
                "nothing was merged, move one of the two away"
            )
