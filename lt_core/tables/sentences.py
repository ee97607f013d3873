"""Sentences about a table, computed from its cells so that they cannot disagree with it.

Each returns Markdown; names stand in it as code, whatever they contain.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from lt_core import data
from lt_core.errors import DataError
from lt_core.tables.plans import REBALANCED, get
from lt_core.tables.rendering import SIGNED, duration, number
from lt_core.tables.statistics import Noise, least_difference
from lt_core.tables.summary import BLOCK, GROUPS, as_trained, title

if TYPE_CHECKING:
    from lt_core.runs.records import Results

ALPHA = 0.05


def coverage(cells: pd.DataFrame) -> str:
    """How much of the paper's table has been run, in one sentence."""
    paper = cells[cells["paper"].notna()]
    if paper.empty:
        return "None of these cells has a published number that may stand beside it."
    run = paper[paper["n"] > 0]
    if run.empty:
        return f"None of the {len(paper)} cells with a published number was run in full."
    agree, differ = (int((run["verdict"] == word).sum()) for word in ("agrees", "differs"))
    text = f"{len(run)} of {len(paper)} cells with a published number {_were(run)} run in full"
    if not agree + differ:
        return f"{text}, without a verdict, which takes several seeds."
    text += f": {agree} agree{'s' * (agree == 1)} with the paper, {differ} differ"
    text += "s" * (differ == 1)
    rest = run[~run["verdict"].isin(["agrees", "differs"])]
    if len(rest):
        text += f"; {len(rest)} {_were(rest)} run too seldom for a verdict"
    return f"{text}."


def _were(rows: Sequence) -> str:
    return "was" if len(rows) == 1 else "were"


def ranking(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> str:
    """Which method stands highest and lowest at ``factor``, and which rows noise may explain.

    Chance parts the means of n and m runs by less than :func:`.least_difference` in 95 of
    100 cases. The noise is that of a run about the mean of its own row, what its seed does to
    all rows alike included, which :func:`.compare_methods` takes out. A re-balanced row, whose
    extra step sees the whole test set, is not ranked.
    Raises ConfigError where the cells are of several experiments.
    """
    part = as_trained(cells, factor)
    if len(part) < 2:
        return f"Too few methods have finished runs{_at(part)} to be ranked."
    top, bottom = part.loc[part["mean"].idxmax()], part.loc[part["mean"].idxmin()]
    text = (
        f"{_at(part)[1:].capitalize()}, {_name(top)} stands highest with "
        f"{_percent(top['mean'])} and {_name(bottom)} lowest with {_percent(bottom['mean'])}"
    )
    reference = part[part["method"] == baseline]
    if len(reference) and baseline not in (top["method"], bottom["method"]):
        text += f"; {_name(reference.iloc[0])} has {_percent(reference['mean'].iloc[0])}"
    noise = Noise(top["pooled_sd"], top["df"])
    if not noise.is_known:
        return f"{text}. Without several seeds that differ, nothing says how far a run scatters."
    near = [
        _name(cell)
        for _, cell in part.iterrows()
        if cell["method"] != top["method"]
        and top["mean"] - cell["mean"] < least_difference(noise, top["n"], cell["n"])
    ]
    two = f"two means of {top['n']} runs" if top["n"] > 1 else "two single runs"
    return (
        f"{text}. One run scatters by {noise.sd:.1f} points about the mean of its row "
        f"(standard deviation, pooled over all rows at this factor, {noise.df} degrees of "
        "freedom; what a seed does to all rows alike is part of it), so chance alone parts "
        f"{two} by less than {least_difference(noise, top['n'], top['n']):.1f} points in 95 % "
        "of cases. "
        f"{_listed_names(near) or 'No row'} {'are' if len(near) > 1 else 'is'} closer than "
        "that to the highest."
    )


def remarks(cells: pd.DataFrame, results: Results) -> str:
    """What a reader of the table has to know before its numbers; empty where there is nothing.

    That no row of an experiment is better than guessing, each class counted alike; that an epoch
    was a single step; that images which could not be read were left out of training.
    """
    made = cells[(cells["n"] > 0) & ~cells["rebalanced"].astype(bool)]
    accuracy = results.classes.groupby("key")["accuracy"].agg(["mean", "size"])
    told = []
    for _, part in made.groupby([*BLOCK, "imbalance_factor"], sort=False, dropna=False):
        classes = accuracy["size"].reindex(_keys(part)).dropna()
        if len(classes) and all(_is_at_chance(cell, accuracy) for _, cell in part.iterrows()):
            told.append(
                f"No row{_at(part)} is better than guessing among {classes.iloc[0]:g} classes "
                f"({_percent(100 / classes.iloc[0])} of each): nothing has been learned yet, so "
                "these rows compare nothing; train longer."
            )
    skipped = results.history.reindex(columns=["key", "skipped"]).dropna()
    skipped = skipped[skipped["skipped"] > 0].groupby("key")["skipped"].max()
    for name, part in made.groupby("dataset", sort=False):
        own, keys = name.startswith("folder:"), _keys(part)
        runs = results.runs[results.runs["key"].isin(keys)]
        if own and len(runs):
            batch = json.loads(runs["recipe_numbers"].iloc[0])["batch_size"]
            if batch > (images := runs["train_images"].iloc[0]):
                told.append(
                    f"An epoch on {_code(name)} is a single step, as its {images:g} training "
                    f"images are fewer than a batch of {batch}; a smaller one takes more steps: "
                    "`--override batch_size=N`."
                )
        if len(most := skipped[skipped.index.isin(keys)]):
            where = shlex.quote(_where(name).removeprefix("folder:")) if own else name
            told.append(
                f"Training images that could not be read were left out: up to {most.max():g} per "
                f"epoch, in {len(most)} of {len(keys)} runs on {_code(name)}. Their names: "
                f"`lt-core look {where} --open{'' if own else ' --data-root DIR'}`."
            )
    return " ".join(told)


def _keys(cells: pd.DataFrame) -> list[str]:
    return [key for keys in cells["keys"] for key in keys]


def _is_at_chance(cell: pd.Series, accuracy: pd.DataFrame) -> bool:
    """Whether the mean accuracy of a class is what guessing has, or within its noise above it."""
    runs = accuracy.reindex(cell["keys"]).dropna()
    if runs.empty:
        return True  # nothing is known of it
    chance = 1 / runs["size"].iloc[0]
    noise = 2 * cell["pooled_sd"] / 100 / len(runs) ** 0.5
    return runs["mean"].mean() < chance + max(chance / 10, 0 if pd.isna(noise) else noise)


def significance(differences: pd.DataFrame, baseline: str = "softmax") -> str:
    """Which of the ``differences`` noise does not explain, after Holm's correction."""
    nothing = f"There is nothing to test by: differences from {_code(baseline)} need"
    found, tested = differences[differences["p_holm"] < ALPHA], differences["p_holm"].count()
    listed = ", ".join(
        f"{_code(name)} ({_signed(row['difference'])})" for name, row in found.iterrows()
    )
    text = (
        f"{len(found)} of {tested} rows differ from {_code(baseline)}, compared seed by seed, by "
        f"more than noise explains (Holm-adjusted p < {ALPHA}){': ' if listed else ''}{listed}."
    )
    if differences.empty:
        text = f"{nothing} runs of it and of another method, with a seed in common."
    elif not tested:
        text = f"{nothing} several seeds that differ."
    reasons = {
        "single" if tested else "": "having a single run",
        "no_shared_seed": f"having no seed in common with {_code(baseline)}",
        "left_out": "having no runs of their own",
    }
    for attribute, reason in reasons.items():
        if names := ", ".join(map(_code, differences.attrs.get(attribute, ()))):
            text += f" Not tested, {reason}: {names}."
    return text


def trade(cells: pd.DataFrame, factor: float, baseline: str = "softmax") -> str:
    """What the best method at ``factor`` gains and loses in each group beside ``baseline``.

    Re-balanced rows are left out, as in :func:`ranking`.
    """
    part = as_trained(cells, factor)
    reference, others = part[part["method"] == baseline], part[part["method"] != baseline]
    if reference.empty or others.empty:
        return f"Groups are compared once `{baseline}` and another method have finished runs."
    best = others.loc[others["mean"].idxmax()]
    single = min(best["n"], reference["n"].iloc[0]) < 2
    alone = "; a single run says nothing of the noise" if single else ""
    change = [
        f"{_signed(best[group] - reference[group].iloc[0])} points on *{group}*"
        for group in GROUPS
        if pd.notna(best[group])
    ]
    return (
        f"{_at(part)[1:].capitalize()}, {_name(best)}, the highest row other than "
        f"{_name(reference.iloc[0])}, differs from it by {_listed_names(change)}{alone}."
    )


def flattery(cells: pd.DataFrame) -> str:
    """How much higher the table would stand if every run reported its best epoch."""
    both = cells.dropna(subset=["mean", "mean_best"])
    if both.empty:
        return "The best epoch is not known for these cells."
    gain = (both["mean_best"] - both["mean"]).round(6) + 0.0  # no minus before a zero
    most = both.loc[gain.idxmax()]
    return (
        f"Reporting the best epoch instead of the last would add to the mean of a row "
        f"{gain.mean():.1f} points on average and {gain.max():.1f} at most "
        f"({_name(most)}{_at(both.loc[[most.name]])})."
    )


def provenance(cells: pd.DataFrame, records: pd.DataFrame) -> str:
    """Data, network, seeds, versions, hardware and time of the runs behind ``cells``."""
    used = {key for keys in cells["keys"] for key in keys}
    if not used:
        return "No run has finished yet."
    told = ["seed", "seconds", "pack", "hardware", "lt_core", "commit", "torch"]
    runs = records[records["key"].isin(used)].reindex(columns=told)
    seeds = [f"{seed:g}" for seed in sorted(runs["seed"].unique())]
    # Runs that shared a device waited for each other: their seconds count it once each.
    spent = duration((runs["seconds"] / runs["pack"].fillna(1)).sum())
    made = cells[cells["n"] > 0]
    named = [title(d) if d in data.names() else _code(d) for d in made["dataset"].unique()]
    named += [_code(model) for model in made["model"].unique()]
    named += [f"{n:g} epoch{'s' if n > 1 else ''}" for n in made["epochs"].unique()]
    hardware = runs["hardware"].astype("string").str.replace(r"\b1 threads", "1 thread", regex=True)
    used = ((name, _listed(runs[name])) for name in ("lt_core", "commit", "torch"))
    versions = ", ".join(f"{name} {listed}" for name, listed in used if listed)
    return (
        f"{len(runs)} run{'s' * (len(runs) > 1)} ({', '.join(named)}), "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}, {spent} of training in all on "
        f"{_listed(hardware) or 'hardware not told'}; {versions or 'versions not told'}."
    )


def command(table: str, request: Mapping[str, object]) -> str:
    """The command that repeats the table; ``request`` as :func:`lt_core.tables.plan` takes it.

    DIR stands for the folder of the data sets that are not embedded.
    """
    options = {"imbalance_factors": "imbalance-factor"}
    words = [f"lt-core reproduce {table}"]
    for name, value in request.items():
        if isinstance(value, Mapping):
            pairs = (f"{field}={_text(entry)}" for field, entry in value.items())
            words += [f"--override {shlex.quote(pair)}" for pair in pairs]
        elif value is not None:
            if name == "dataset" and str(value).startswith("folder:"):
                value = _where(value)
            option = options.get(name, name).replace("_", "-")
            words.append(f"--{option} {shlex.quote(_text(value))}")
    if not str(request.get("dataset") or "digits").startswith(("digits", "folder:")):
        words.append("--data-root DIR")
    return " ".join(words)


def commands(table: str, shown: Mapping[str, pd.DataFrame]) -> str:
    """The commands that make the runs of ``{what: cells of one experiment}`` again, as Markdown.

    A last one for each data set makes the table in full.
    """
    asked = {}
    for what, part in shown.items():
        if part.empty:
            continue
        precision = part["precision"].iloc[0]
        asked[f"as shown, {what}"] = {
            "dataset": part["dataset"].iloc[0],
            "imbalance_factors": [float(value) for value in part["imbalance_factor"].unique()],
            "methods": [*dict.fromkeys(part["method"].str.removesuffix(REBALANCED))],
            "model": part["model"].iloc[0],
            "epochs": int(part["epochs"].iloc[0]),
            "precision": None if precision == "float32" else precision,
            "seeds": int(part["n"].max()),
        }
    for dataset in (*get(table).datasets, *get(table).large):
        asked[f"in full, {title(dataset)}"] = {"dataset": dataset, "seeds": 3}
    lines = [f"# {what}\n{command(table, request)}" for what, request in asked.items()]
    return "```bash\n" + "\n".join(lines) + "\n```"


def _where(dataset: str) -> str:
    """Own images by their folder, which a later call finds, where it is known."""
    from lt_core.data import own

    try:
        return f"folder:{own.place(dataset)}"
    except DataError:
        return dataset


def _text(value: object) -> str:
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return ",".join(map(_number, value)) if several else _number(value)


def _at(cells: pd.DataFrame) -> str:
    """`` at factor 100``, or on what else ``cells`` were reached; nothing for none."""
    return "".join(f" {data.at(*c)}" for c in cells[["dataset", "imbalance_factor"]].to_numpy()[:1])


def _signed(value: float) -> str:
    return number(value, SIGNED)


def _percent(value: float) -> str:
    return f"{value:.1f}\N{NO-BREAK SPACE}%"


def _name(cell: pd.Series) -> str:
    return _code(cell["method"])


def _code(text: object) -> str:
    return f"`{str(text).replace('`', '')}`"


def _listed_names(names: Sequence[str]) -> str:
    """``a``; ``a and b``; ``a, b and c``."""
    *most, last = names or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _listed(values: pd.Series) -> str:
    return ", ".join(_code(value) for value in values.dropna().unique() if value != "")


def _number(value: object) -> str:
    """``100`` for 100.0; every digit where it has more than ``g`` shows."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(float(value))
