"""``lt-core reproduce``: the runs of a table, through a notebook or directly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import lt_core
from lt_core import runs, tables, training
from lt_core.data import own
from lt_core.errors import ConfigError, LtError, TrainingError

if TYPE_CHECKING:
    from lt_core.training import RunConfig


def through_notebook(
    table: str,
    request: Mapping,
    store: str | os.PathLike,
    output: str | os.PathLike | None = None,
    **resources: object,
) -> str:
    """Execute ``reproduce.ipynb``, which trains the missing runs; returns the table as text.

    ``request`` says which part of the table (arguments of :func:`lt_core.tables.plan`),
    ``resources`` how it is made (arguments of :func:`lt_core.training.reproduce`).
    ``"all"`` spans several tables and has no notebook: :func:`directly` trains its runs.
    """
    if table == "all":
        if output is not None:
            raise ConfigError("output: 'all' has no notebook to be executed; leave it out")
        return directly(table, request, store, **resources)
    request = {"dataset": "digits", **request}
    plan = tables.plan(table, **request)
    from lt_core.book import notebooks  # after the names were checked: they import torch
    from lt_core.training.batch import check_data, missing_runs

    if str(request["dataset"]).startswith(own.PREFIX):  # as a notebook runs in another folder
        request["dataset"] = plan[0].dataset
    if request.get("overrides"):  # nor is a file of weights found there by a relative path
        request["overrides"] = dict(plan[0].overrides)
    place = runs.Store(store)
    missing, _ = missing_runs({config.key: config for config in plan}, place)
    if resources.get("engine") != "ray":  # whose nodes have data of their own
        check_data(missing, resources.get("data_root"), resources.get("download", False))
    path = notebook_path()
    output = Path(store) / f"{path.stem}_{table}.ipynb" if output is None else Path(output)
    notebooks.refuse_to_replace(output, path)
    place.prepare()
    given = {
        "table": table,
        **request,
        "store": str(Path(store).absolute()),
        "resources": {
            name: str(Path(value).absolute()) if isinstance(value, os.PathLike) else value
            for name, value in resources.items()
        },
    }
    try:
        notebooks.run(path, output, given, stream=True)
    except LtError:
        if (notebooks.read_status(output) or {}).get("state") in ("failed", "stopped"):
            print(f"what there is so far: {notebooks.beside(output, '.partial.ipynb')}")
        if earlier := notebooks.finished(output):
            dataset = earlier["parameters"]["dataset"]
            print(f"left as an earlier call has finished it, on {dataset}: {output}")
        raise
    return f"{_text(table, plan, store, request)}\n\nexecuted notebook: {output}"


def directly(
    table: str,
    request: Mapping,
    store: str | os.PathLike,
    shard: str | None = None,
    **resources: object,
) -> str:
    """Train the same runs without papermill; returns the table as text.

    ``shard="1/4"`` trains every fourth run, from the first. ``"all"`` stands for the runs that
    ``tables.toml`` lists under ``all``, the most important first.
    """
    part = slice(None) if shard is None else _shard(shard)
    is_table = table != "all"
    plan = tables.plan(table, **{"dataset": "digits", **request}) if is_table else _every(request)
    mine = plan[part]
    try:
        training.reproduce(mine, store, **resources)
    except TrainingError:
        if is_table:  # with the runs that did finish, as the notebook shows it
            print(_text(table, plan, store, request))
        raise
    if is_table:
        return _text(table, plan, store, request)
    return f"all {len(mine)} runs are in {store}"


def notebook_path() -> Path:
    """The notebook of every table in this checkout."""
    path = Path(lt_core.__file__).parents[1] / "notebooks/reproduce.ipynb"
    if not path.exists():
        raise ConfigError(
            f"notebook {path.name}: not found beside the package; work in a checkout of the "
            "repository, or add --direct, which needs no notebook"
        )
    return path


def _every(request: Mapping) -> list[RunConfig]:
    for name in request:
        if name in ("imbalance_factors", "methods", "overrides", "holdout"):
            raise ConfigError(f"{name}: 'all' is a list of runs that is fixed; leave it out")
    return tables.plan_all(**request)


def _text(table: str, plan: list, store: str | os.PathLike, request: Mapping) -> str:
    """The table of ``plan``, what to know about it, and which runs were set aside."""
    from lt_core.runs import records  # after the names were checked: it imports pandas

    found = records.of_store(store)
    cells = tables.cells(found.runs, table, plan, methods=request.get("methods"))
    notes = filter(None, [tables.remarks(cells, found)])
    aside = [f"set aside, not counted: {reason}" for reason in found.runs.attrs["set_aside"]]
    return "\n".join([str(tables.render(cells)), *notes, *aside])


def _shard(text: str) -> slice:
    first, _, count = text.partition("/")
    digits = first.isdecimal() and count.isdecimal() and len(text) < 20
    if not (digits and 1 <= int(first) <= int(count)):
        raise ConfigError(f"shard: expected I/N with I from 1 to N, such as 1/4, got {text!r}")
    return slice(int(first) - 1, None, int(count))
