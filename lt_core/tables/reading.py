"""Sentences about a table, computed from its cells so that they cannot disagree with it.

Each returns Markdown; names stand in it as code, whatever they contain.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from lt_core.errors import ConfigError
from lt_core.statistics import compare_methods
from lt_core.tables.grouping import BLOCK, GROUPS

ALPHA = 0.05


def coverage(cells: pd.DataFrame) -> str:
    """How much of the paper's table has been run, in one sentence."""
    paper = cells[cells["paper"].notna()]
    if paper.empty:
        return "None of these cells has a published number that may stand beside it."
    run = paper[paper["n"] > 0]
    counts = run["verdict"].str.split(" (", regex=False).str[0].value_counts()
    parts = [f"{counts.get(word, 0)} {word}" for word in ("agrees", "differs", "no verdict")]
    parts = [part.replace("agrees", "agree").replace("differs", "differ") for part in parts]
    return f"{len(run)} of {len(paper)} published cells were run in full: {', '.join(parts)}."


def ranking(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> str:
    """Which method stands highest and lowest at ``factor``, and which rows noise may explain.

    Chance parts the means of n and m runs by up to :math:`t_{.975, df} s \\sqrt{1/n + 1/m}` in 95
    of 100 cases, s the standard deviation of one run, pooled over the methods. A re-balanced
    row, whose extra step sees the whole test set, is not ranked.
    """
    part = _as_trained(cells, factor)
    if len(part) < 2:
        return f"At factor {factor:g} too few methods have finished runs to be ranked."
    top, bottom = part.loc[part["mean"].idxmax()], part.loc[part["mean"].idxmin()]
    text = (
        f"At factor {factor:g}, {_name(top)} stands highest with {_percent(top['mean'])} and "
        f"{_name(bottom)} lowest with {_percent(bottom['mean'])}"
    )
    reference = part[part["method"] == baseline]
    if len(reference) and baseline not in (top["method"], bottom["method"]):
        text += f"; {_name(reference.iloc[0])} has {_percent(reference['mean'].iloc[0])}"
    if top["df"]:
        t = stats.t.ppf(0.975, top["df"]) * top["pooled_sd"]
        chance = t * np.sqrt(1 / top["n"] + 1 / part["n"])
        near = part[(top["mean"] - part["mean"] < chance) & (part["method"] != top["method"])]
        listed = ", ".join(_name(cell) for _, cell in near.iterrows()) or "no other row"
        two = f"two means of {top['n']} runs" if top["n"] > 1 else "two single runs"
        return (
            f"{text}. One run scatters by {top['pooled_sd']:.1f} points (standard deviation, "
            f"pooled over all that was run in this way, {top['df']} degrees of freedom), so "
            f"chance alone can part {two} by {t * np.sqrt(2 / top['n']):.1f} points. That near "
            f"to the highest: {listed}."
        )
    return f"{text}. With one seed nothing says how far a run scatters."


def differences(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> pd.DataFrame:
    """The methods at ``factor`` against ``baseline``: see :func:`.compare_methods`.

    Every run counts once. A re-balanced row, and one that borrows softmax's runs, has no
    runs of its own and is left out; ``attrs["left_out"]`` of the result names those rows.
    Raises ConfigError where the cells are of several experiments: seeds are shared, and
    noise is alike, within one only.
    """
    part = _run(cells, factor)
    several = [name for name in BLOCK if len(part[name].unique()) > 1]
    if several:
        raise ConfigError(
            f"cells: expected one experiment at factor {factor:g}, got several that differ in "
            f"{', '.join(several)}; choose one before comparing methods"
        )
    copies = part["rebalanced"].astype(bool) | part["borrowed"].astype(bool)
    own = part.loc[~copies, ["method", "seeds", "values"]]
    runs = own.explode(["seeds", "values"]).rename(columns={"seeds": "seed", "values": "top1"})
    table = compare_methods(runs.astype({"top1": float}), baseline)
    table.attrs["left_out"] = tuple(part.loc[copies, "method"])
    return table


def significance(differences: pd.DataFrame, baseline: str = "softmax") -> str:
    """Which of the ``differences`` noise does not explain, after Holm's correction."""
    if differences.empty or differences["p_holm"].isna().all():
        return f"There is nothing to test by: differences from `{baseline}` need several seeds."
    found = differences[differences["p_holm"] < ALPHA]
    listed = ", ".join(
        f"{_code(name)} ({row['difference']:+.1f})" for name, row in found.iterrows()
    )
    text = (
        f"{len(found)} of {len(differences)} rows differ from `{baseline}` by more than noise "
        f"explains (Holm-adjusted p < {ALPHA}){': ' if listed else ''}{listed}."
    )
    left_out = ", ".join(map(_code, differences.attrs.get("left_out", ())))
    return f"{text} Not tested, having no runs of their own: {left_out}." if left_out else text


def trade(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> str:
    """What the best method at ``factor`` gains and loses in each group beside ``baseline``.

    Re-balanced rows are left out, as in :func:`ranking`.
    """
    part = _as_trained(cells, factor)
    reference, others = part[part["method"] == baseline], part[part["method"] != baseline]
    if reference.empty or others.empty:
        return f"Groups are compared once `{baseline}` and another method have finished runs."
    best = others.loc[others["mean"].idxmax()]
    change = [
        f"{best[group] - reference[group].iloc[0]:+.1f} points on *{group}*"
        for group in GROUPS
        if pd.notna(best[group])
    ]
    return (
        f"At factor {factor:g}, the highest row other than {_name(reference.iloc[0])} is "
        f"{_name(best)}, with {', '.join(change)} compared with it."
    )


def flattery(cells: pd.DataFrame) -> str:
    """How much higher the table would stand if every run reported its best epoch."""
    both = cells.dropna(subset=["mean", "mean_best"])
    if both.empty:
        return "The best epoch is not known for these cells."
    gain = (both["mean_best"] - both["mean"]).round(6) + 0.0  # no minus before a zero
    most = both.loc[gain.idxmax()]
    return (
        f"Reporting the best epoch on the test set instead of the last would add "
        f"{gain.mean():.1f} points on average and {gain.max():.1f} at most "
        f"({_name(most)} at factor {most['imbalance_factor']:g})."
    )


def provenance(cells: pd.DataFrame, records: pd.DataFrame) -> str:
    """Seeds, versions, hardware and time of the runs behind ``cells``, in one paragraph."""
    used = {key for keys in cells["keys"] for key in keys}
    if not used:
        return "No run has finished yet."
    runs = records[records["key"].isin(used)]
    seeds = ", ".join(f"{seed:g}" for seed in sorted(runs["seed"].unique()))
    # Runs that shared a device waited for each other: their seconds count it once each.
    alone = runs["pack"].fillna(1) if "pack" in runs else 1
    hours = (runs["seconds"] / alone).sum() / 3600
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    hardware = runs["hardware"].str.replace(r"\b1 threads", "1 thread", regex=True)
    versions = (
        f"{name} {_listed(runs[column])}"
        for name, column in (("lt_core", "lt_core"), ("commit", "commit"), ("torch", "torch"))
        if runs[column].astype(str).str.len().gt(0).any()
    )
    return (
        f"{len(runs)} runs, seeds {seeds}, {spent} of training in all on "
        f"{_listed(hardware)}; {', '.join(versions)}."
    )


def command(table: str, request: Mapping[str, object]) -> str:
    """The command that repeats the table; ``request`` as :func:`lt_core.tables.plan` takes it.

    DIR stands for the folder of the data sets that are not embedded.
    """
    options = {"imbalance_factors": "imbalance-factor"}
    words = [f"lt-core reproduce {table}"]
    for name, value in request.items():
        if value is not None:
            several = isinstance(value, Sequence) and not isinstance(value, str)
            text = ",".join(map(_number, value)) if several else _number(value)
            words.append(f"--{options.get(name, name).replace('_', '-')} {shlex.quote(text)}")
    if request.get("dataset") not in (None, "digits"):
        words.append("--data-root DIR")
    return " ".join(words)


def _run(cells: pd.DataFrame, factor: float) -> pd.DataFrame:
    return cells[(cells["imbalance_factor"] == factor) & (cells["n"] > 0)]


def _as_trained(cells: pd.DataFrame, factor: float) -> pd.DataFrame:
    part = _run(cells, factor)
    return part[~part["rebalanced"].astype(bool)]


def _percent(value: float) -> str:
    return f"{value:.1f}\N{NO-BREAK SPACE}%"


def _name(cell: pd.Series) -> str:
    return _code(cell["method"])


def _code(text: object) -> str:
    return f"`{str(text).replace('`', '')}`"


def _listed(values: pd.Series) -> str:
    return ", ".join(_code(value) for value in pd.unique(values.dropna()))


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
