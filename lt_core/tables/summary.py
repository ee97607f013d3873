"""From records of runs to a table's cells, with the paper beside them where it may be."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from lt_core import data, losses
from lt_core.errors import ConfigError
from lt_core.parameters import listed
from lt_core.tables.plans import Row, Table, find_row, get, published
from lt_core.tables.plans import plan as full_plan
from lt_core.tables.statistics import (
    Noise,
    compare_methods,
    pooled_sd,
    prediction_interval,
    verdict,
)
from lt_core.training import recipes
from lt_core.training.config import RunConfig, overrides_text, variant_of

#: Groups of classes, by their number of training images.
GROUPS = ("many", "medium", "few")

#: Cells that differ in these are different experiments, and stand in tables of their own.
BLOCK = ("dataset", "model", "recipe", "overrides", "epochs", "precision", "subset_seed", "holdout")

#: Runs that agree in these, the method and its parameters differ in the seed only.
PROTOCOL = (*BLOCK, "imbalance_factor", "classifier")

#: Why no published number stands beside a run on a list that is not the published one.
OTHER_IMAGES = "other images than the published list"

ACCURACIES = ("top1", "top1_rebalanced", "top1_best")
COLUMNS = (
    *PROTOCOL,
    *("method", "added", "in_paper", "rebalanced", "full", "network", "n", "planned"),
    *("mean", "sd", "mean_best"),
    *GROUPS,
    *("pooled_sd", "df", "low", "high", "paper", "verdict", "verdict_best"),
    *("seeds", "values", "keys"),
)


def cells(
    records: pd.DataFrame,
    table: str,
    plan: Iterable[RunConfig] | None = None,
    methods: Iterable[str] | None = None,
) -> pd.DataFrame:
    """One row per cell of ``table``, from the finished runs in ``records``.

    With a ``plan`` exactly its runs count, by key. Without one, all runs of the table's
    rows and recipe count, by today's defaults, except those that held images out. A cell
    of the paper that has no full run is there with ``n = 0``. ``methods``, as :func:`plan
    <lt_core.tables.plan>` takes them, add re-balanced rows that the table itself lacks.

    Columns: the protocol (``dataset``, ``imbalance_factor``, ``model``, ``recipe``,
    ``epochs``, ``precision``, …), ``method`` (the row's label, with the classifier where
    it is not the method's usual one), ``rebalanced``, ``full`` (the recipe as it is,
    nothing shortened or changed), ``network`` (whether it is the table's), ``n`` finished
    of ``planned`` runs, ``mean`` and ``sd`` of the last epoch in percent, ``mean_best`` of the
    best epoch, the groups ``many``,
    ``medium``, ``few``, ``pooled_sd`` and ``df`` over comparable cells (of the accuracies
    after re-balancing for a re-balanced row) with the 95 % prediction interval ``low``,
    ``high`` for one new run, ``paper``, ``verdict`` and ``verdict_best`` (*agrees*,
    *differs*, *no verdict (why)*, *not run*), and the runs behind it: their
    ``seeds``, ``values`` and ``keys``.

    The paper's value is given only beside the full recipe, the paper's data and network,
    and seeds that were all trained on the same images.
    Comparable cells are those of one protocol: same data, factor, network and recipe.
    """
    entry = get(table)
    records = _cleaned(records)
    runs = _of_table(records, table) if plan is None else _of_plan(records, plan)
    runs = runs.sort_values("seed", kind="stable")
    rows = _rows(entry, runs, [find_row(table, name) for name in listed(methods)], plan)
    found = []
    # A cosine classifier is part of a method: with another one, runs scatter alike.
    for _, alike in runs.groupby([*BLOCK, "imbalance_factor"], sort=False, dropna=False):
        groups = list(alike.groupby(["method", "variant", "classifier"], sort=False, dropna=False))
        replicas = [
            part for _, runs in groups for _, part in runs.groupby("data_sha256", dropna=False)
        ]
        noises = {name: pooled_sd([part[name] for part in replicas]) for name in ACCURACIES}
        for (method, variant, _), part in groups:
            for position, (row, its_variant) in enumerate(rows):
                if (method, variant) == (row.method, its_variant):
                    found.append(_cell(row, part, entry, noises) | {"position": position})
    datasets = list(dict.fromkeys([*entry.datasets, *runs["dataset"]]))
    orders = {"dataset": lambda names: names.map(datasets.index), "imbalance_factor": lambda f: -f}
    frame = pd.DataFrame(found, columns=[*COLUMNS, "position"]).sort_values(
        ["dataset", "imbalance_factor", *BLOCK[1:], "position"],
        key=lambda column: orders.get(column.name, lambda same: same)(column),
        ignore_index=True,
    )
    return frame.drop(columns="position")


def by_class(
    cells: pd.DataFrame, factor: float, classes: pd.DataFrame
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Training images ``(C,)``, and by method the test accuracy ``(seeds, C)`` as fractions.

    ``cells`` of one protocol, at ``factor``; ``classes`` as in
    :class:`lt_core.runs.records.Results`. Methods and runs that it does not hold are left out.
    """
    counts, found = np.array([], dtype=int), {}
    runs = dict(list(classes.sort_values("class_rank").groupby("key")))
    for _, cell in cells[cells["imbalance_factor"] == factor].iterrows():
        name = "accuracy_rebalanced" if cell["rebalanced"] else "accuracy"
        if keys := [key for key in cell["keys"] if key in runs]:
            counts = runs[keys[0]]["images"].to_numpy()
            found[cell["method"]] = np.stack([runs[key][name].to_numpy() for key in keys])
    return counts, found


def largest_experiment(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the experiment with the most runs; of two alike, the one run in full.

    One experiment is one data set, network, recipe and so on; factors and methods differ.
    """
    blocks = [block for _, block in cells.groupby(list(BLOCK), sort=False, dropna=False)]
    made = [block for block in blocks if block["n"].sum()]
    if not made:
        return cells.iloc[:0]
    return max(made, key=lambda block: (block["n"].sum(), bool(block["full"].all())))


def covered(cells: pd.DataFrame) -> pd.DataFrame:
    """How many of the table's cells were run ``in full``, ``reduced`` and ``not run``.

    A line for each data set and factor. Reduced is what has another network than the table
    has there, or a shortened or changed recipe. Rows that only we have are not counted.
    """
    own = cells[~cells["added"].astype(bool)]
    full = own["full"].astype(bool) & own["network"].astype(bool)
    state = np.select([own["n"] == 0, full], [0, 2], 1)
    place = ["dataset", "imbalance_factor", "recipe", "method"]
    best = own.assign(state=state).groupby(place, sort=False)["state"].max().reset_index()
    cuts = [data.at(*cut) for cut in best[["dataset", "imbalance_factor"]].to_numpy()]
    where = best["dataset"].map(title) + [f", {cut.partition(' ')[2]}" for cut in cuts]
    counts = {
        "in full": best["state"] == 2,
        "reduced": best["state"] == 1,
        "not run": best["state"] == 0,
    }
    return pd.DataFrame(counts).groupby(where, sort=False).sum()


def repeated(cells: pd.DataFrame, table: str) -> pd.Series:
    """Runs in full of each published overall accuracy, by data set, factor and the paper's row.

    Two rows of ours that differ in how they read one row of the paper are counted once.
    """
    beside = cells[cells["paper"].notna()]
    papers = beside["method"].map(lambda label: find_row(table, label).published)
    return beside.groupby(["dataset", "imbalance_factor", papers])["n"].max()


def title(dataset: str) -> str:
    """A data set as pages name it; one that is not of the catalogue by its own name."""
    return data.info(dataset).title.partition(" (")[0] if dataset in data.names() else dataset


def differences(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> pd.DataFrame:
    """The methods at ``factor`` against ``baseline``: see :func:`.compare_methods`.

    Every run counts once. A method with a single run has a difference and an interval, from the
    scatter of the others, but no p. A re-balanced row has no runs of its own and is left out;
    ``attrs["left_out"]`` of the result names those rows, ``attrs["no_shared_seed"]`` the
    methods whose difference cannot be estimated. Raises ConfigError where the cells are of
    several experiments: seeds are shared, and noise is alike, within one only.
    """
    part = of_one_experiment(cells, factor)
    copies = part["rebalanced"].astype(bool)
    own = part.loc[~copies, ["method", "seeds", "values"]]
    runs = own.explode(["seeds", "values"]).rename(columns={"seeds": "seed", "values": "top1"})
    table = compare_methods(runs.astype({"top1": float}), baseline)
    single = table["n"] < 2
    table.loc[single, ["p", "p_holm"]] = np.nan
    table.attrs["single"] = tuple(table.index[single])
    table.attrs["left_out"] = tuple(part.loc[copies, "method"])
    return table


def of_one_experiment(cells: pd.DataFrame, factor: float) -> pd.DataFrame:
    """The cells at ``factor`` that have runs, of one experiment."""
    part = cells[(cells["imbalance_factor"] == factor) & (cells["n"] > 0)]
    if several := [name for name in BLOCK if len(part[name].unique()) > 1]:
        raise ConfigError(
            f"cells: expected one experiment at factor {factor:g}, got several that differ in "
            f"{', '.join(several)}; choose one before comparing methods"
        )
    return part


def as_trained(cells: pd.DataFrame, factor: float) -> pd.DataFrame:
    part = of_one_experiment(cells, factor)
    return part[~part["rebalanced"].astype(bool)]


def means(cells: pd.DataFrame) -> dict[str, float]:
    """``method@factor``: mean accuracy in percent, for every cell of one experiment that was run.

    Raises ConfigError where two cells would have one name.
    """
    run = cells[cells["n"] > 0]
    found = {}
    for _, cell in run.iterrows():
        name = f"{cell['method']}@{cell['imbalance_factor']:g}"
        if name in found:
            raise ConfigError(f"cells: expected one experiment, got several cells {name}")
        found[name] = cell["mean"]
    return found


def trace(cells: pd.DataFrame) -> pd.DataFrame:
    """The runs behind ``cells``, a row per run: where it stands, its seed, ``top1`` and key."""
    where = [*BLOCK, "imbalance_factor", "method", "seeds", "values", "keys"]
    frame = cells.loc[cells["n"] > 0, where].explode(["seeds", "values", "keys"])
    return frame.rename(columns={"seeds": "seed", "values": "top1", "keys": "key"})


def _cleaned(records: pd.DataFrame) -> pd.DataFrame:
    """Every column there, each run once; text that a CSV file left empty is empty text."""
    texts = ("variant", "overrides", "params", "recipe_numbers")
    numbers = [f"top1_{g}{s}" for g in GROUPS for s in ("", "_rebalanced")]
    columns = [
        "key",
        "method",
        "seed",
        "data_sha256",
        "train_images",
        *texts,
        *PROTOCOL,
        *ACCURACIES,
        *numbers,
    ]
    frame = records.reindex(columns=list(dict.fromkeys([*records.columns, *columns])))
    defaults = dict.fromkeys(texts, "") | {"holdout": 0, "subset_seed": 0}
    frame = frame.astype(dict.fromkeys(texts, object)).fillna(defaults)
    return frame.drop_duplicates("key")


def _of_plan(records: pd.DataFrame, plan: Iterable[RunConfig]) -> pd.DataFrame:
    """A row for each run of ``plan``, without an accuracy where ``records`` do not hold it."""
    told = ["method", "variant", *PROTOCOL, "key"]
    rows = [
        {name: getattr(config, name) for name in told if name != "overrides"}
        | {"overrides": config.overrides_text}
        for config in plan
    ]
    planned = pd.DataFrame(rows, columns=told).drop_duplicates("key")
    rest = records.drop(columns=[name for name in told if name != "key"])
    return planned.merge(rest.astype({"key": object}), on="key", how="left")


def _of_table(records: pd.DataFrame, table: str) -> pd.DataFrame:
    """All runs that belong to the table, then the paper's cells without any.

    A run that held images out was not evaluated on the test set and belongs to no table.
    """
    entry = get(table)
    used = {*entry.recipes, *(large["recipe"] for large in entry.large.values())}
    ours = records["recipe"].isin(used) & (records["holdout"] == 0)
    ours &= records["method"].isin(losses.names())
    # Runs made before and after a default changed are never averaged: a record names what
    # differed from the defaults of its day, and its full numbers tell what differs from
    # today's. Records without these numbers are taken at their word.
    runs = records[ours].copy()
    for name, full, owner in (
        ("variant", "params", "method"),
        ("overrides", "recipe_numbers", "recipe"),
    ):
        named = zip(runs[owner], runs[full], runs[name], strict=True)
        runs[name] = pd.Series([_changed(name, *n) for n in named], runs.index, dtype=object)
    place = ["method", "variant", "dataset", "imbalance_factor", "model", "recipe"]
    usual = [_is_full(run) and not _unusual(run) for _, run in runs.iterrows()]
    there = set(runs.loc[usual, place].itertuples(index=False, name=None))
    planned = _of_plan(runs.iloc[:0], full_plan(table, [*entry.datasets, *entry.large]))
    missing = [at not in there for at in planned[place].itertuples(index=False, name=None)]
    return pd.concat([part for part in (runs, planned[missing]) if len(part)])


@functools.cache
def _changed(column: str, owner: str, numbers: str, recorded: str) -> str:
    """What a run's full ``numbers`` change in today's loss or recipe called ``owner``."""
    if not numbers:
        return recorded
    try:
        given = dict(json.loads(numbers))
        if column == "overrides":
            return overrides_text(recipes.changed(owner, given))
        reduction = given.pop("reduction", "mean")
        return variant_of(owner, {"reduction": reduction, **losses.converted(owner, given)})
    except (ConfigError, ValueError, TypeError):  # a name that is no more, or no numbers
        return numbers


def _is_full(run: Mapping) -> bool:
    """The recipe as it is, nothing shortened or changed."""
    return run["epochs"] == recipes.get(run["recipe"]).epochs and not run["overrides"]


def _unusual(run: Mapping) -> str:
    """The classifier, where it is not the method's usual one."""
    usual = "cosine" if losses.takes_cosines(run["method"]) else "linear"
    return "" if run["classifier"] == usual else f" ({run['classifier']})"


def _rows(
    entry: Table, runs: pd.DataFrame, asked: list[Row], plan: object
) -> list[tuple[Row, str]]:
    """The table's rows that have runs, each with its variant, then others asked for or planned."""
    rows = [*entry.rows, *(row for row in asked if row.rebalanced and row not in entry.rows)]
    named = [(row, RunConfig("digits", row.method, params=row.params).variant) for row in rows]
    present = dict.fromkeys(zip(runs["method"], runs["variant"], strict=True))
    found = [(row, variant) for row, variant in named if (row.method, variant) in present]
    known = {(row.method, variant) for row, variant in found if not row.rebalanced}
    for method, variant in present if plan is not None else ():
        if (method, variant) not in known:
            name = f"{method}[{variant}]" if variant else method
            taken = any(row.label == name for row, _ in found)  # by a row with other parameters
            label = f"{name} (defaults)" if taken else name
            found.append((Row(label, method, published=name, added=bool(entry.published)), variant))
    return found


def _cell(row: Row, runs: pd.DataFrame, entry: Table, noises: Mapping[str, Noise]) -> dict:
    suffix = "_rebalanced" if row.rebalanced else ""
    first = runs.iloc[0]
    finished = runs.dropna(subset=[f"top1{suffix}"])
    values = finished[f"top1{suffix}"].astype(float)
    best = values.iloc[:0] if row.rebalanced else finished["top1_best"].dropna().astype(float)
    n, noise = len(values), noises[f"top1{suffix}"]
    low, high = prediction_interval(values.mean(), n, noise)
    paper, reason, sd = *_paper(row, first, entry), values.std()
    if len(finished["data_sha256"].unique()) > 1:  # their scatter is not that of the seeds
        paper, reason, sd, low, high = np.nan, "its seeds saw different images", *[np.nan] * 3
    if n == 0:
        judged = "not run", "not run"
    elif reason:
        judged = (f"no verdict ({reason})",) * 2
    else:
        judged = verdict(paper, values.mean(), n, noise), "no verdict (best epoch unknown)"
        if len(best):
            judged = judged[0], verdict(paper, best.mean(), len(best), noises["top1_best"])
    groups = {name: finished[f"top1_{name}{suffix}"].astype(float).mean() for name in GROUPS}
    return {
        **{name: first[name] for name in PROTOCOL},
        **{"method": f"{row.label}{_unusual(first)}", "added": row.added},
        "in_paper": not row.added and row.published != "",
        **{"rebalanced": row.rebalanced, "full": _is_full(first), "n": n, "planned": len(runs)},
        "network": first["model"] == entry.network_on(first["dataset"]),
        **{"mean": values.mean(), "sd": sd, "mean_best": best.mean(), **groups},
        **{"pooled_sd": noise.sd, "df": noise.df, "low": low, "high": high, "paper": paper},
        **{"verdict": judged[0], "verdict_best": judged[1], "seeds": tuple(finished["seed"])},
        **{"values": tuple(values), "keys": tuple(finished["key"])},
    }


def _published_images(run: Mapping, about: data.DatasetInfo) -> bool:
    """Whether a run that was made on listed images saw as many as the published list has."""
    seen, listed = run["train_images"], about.train_count
    if listed is None or pd.isna(seen):
        return True
    return seen == listed if run["imbalance_factor"] == 1 else listed / 2 < seen < listed


def _paper(row: Row, run: Mapping, entry: Table) -> tuple[float, str]:
    """The paper's value where it may stand beside the cell, else NaN and why not."""
    if entry.published is None:
        return np.nan, "no published number"
    numbers = published(entry.published)
    numbers = numbers[(numbers["group"] == "all") & (numbers["dataset"] == run["dataset"])]
    if numbers.empty:
        return np.nan, "other data"
    about = data.info(run["dataset"])
    natural = run["imbalance_factor"] == 1 and about.natural_factor  # as listed
    at = numbers["imbalance_factor"] == (natural or run["imbalance_factor"])
    numbers = numbers[at & (numbers["method"] == row.published)]
    if numbers.empty:
        return np.nan, "no published number"
    if not _published_images(run, about):
        return np.nan, OTHER_IMAGES
    if run["recipe"] not in entry.recipes_on(run["dataset"]) or run["overrides"]:
        return np.nan, "other recipe"
    if not _is_full(run):
        return np.nan, f"{run['epochs']:g} of {recipes.get(run['recipe']).epochs} epochs"
    numbers = numbers[numbers["model"] == run["model"]]
    if numbers.empty or _unusual(run):
        return np.nan, "other network"
    if run["holdout"]:
        return np.nan, "fewer training images"
    if len(set(numbers["top1"])) > 1:
        return np.nan, "several published numbers"
    return float(numbers["top1"].iloc[0]), ""
