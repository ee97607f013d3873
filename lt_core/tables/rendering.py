"""A table's cells as HTML for a notebook and as text for a terminal."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lt_core import data
from lt_core.data import own
from lt_core.tables.plans import published
from lt_core.tables.summary import BLOCK, GROUPS, OTHER_IMAGES, title

#: Stands where there is no number: a group without a class, an interval without a spread.
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SIGNED = "+z.1f"  # z: what rounds to zero has no minus


@dataclass(frozen=True)
class Rendered:
    """Tables with captions; shows itself in a notebook, ``str`` gives plain text.

    ``folded`` tables are long: a notebook shows the caption, and the rows on a click.
    ``remark`` is a sentence that follows the tables.
    """

    blocks: tuple[tuple[str, pd.DataFrame], ...]
    folded: bool = False
    remark: str = ""

    @property
    def html(self) -> str:
        tables = [_html(*block, self.folded) for block in self.blocks]
        return "\n".join([*tables, f"<p>{html.escape(self.remark)}</p>" * bool(self.remark)])

    def _repr_html_(self) -> str:
        return self.html

    def __str__(self) -> str:
        tables = [_text(caption, frame) for caption, frame in self.blocks]
        return "\n\n".join([*tables, *filter(None, [_printable(self.remark)])])

    __repr__ = __str__


def render(cells: pd.DataFrame) -> Rendered:
    """Methods down, imbalance factors across; each cell mean ± sd and n.

    Reduced experiments come first, and of a data set the one with the most runs. The paper's
    value follows a factor where a cell of it may have one, and the verdict where one is given.
    What has no run is named in one sentence below.
    """
    datasets = list(pd.unique(cells["dataset"]))

    def place(block: pd.DataFrame) -> tuple:
        full = bool(block["full"].all())
        return full, datasets.index(block["dataset"].iloc[0]), -block["n"].sum()

    made = sorted(_blocks(cells[cells["n"] > 0]), key=place)
    blocks = [(_caption(block), _across(block)) for block in made]
    return Rendered(tuple(blocks), remark=_not_run(cells))


def render_side_by_side(experiments: Mapping[str, pd.DataFrame], caption: str) -> Rendered:
    """Methods down, experiments across: ``name: cells`` at one factor, each mean ± sd and n."""
    columns = {name: cells.set_index("method") for name, cells in experiments.items()}
    columns = {name: cells.apply(accuracy, axis=1) for name, cells in columns.items() if len(cells)}
    frame = pd.concat(columns, axis=1, sort=False) if columns else pd.DataFrame()
    return render_frame(frame.fillna(NOTHING).rename_axis("method"), caption)


def render_frame(frame: pd.DataFrame, caption: str, digits: int = 1) -> Rendered:
    """Any frame in the book's style: its index as first column, numbers to ``digits``."""
    return Rendered(((caption, frame.reset_index().map(number, form=f"z,.{digits}f")),))


def render_published(table: str) -> Rendered:
    """The paper's numbers as they were published, a table per data set, folded."""
    blocks, what = [], f"published, Table {table[-1]}, " if table[-1].isdigit() else "published, "
    for dataset, part in published(table).groupby("dataset", sort=False):
        column = part["group"]
        if (column == "all").all():
            column = "factor " + part["imbalance_factor"].map("{:g}".format)
        part = part.assign(column=column)
        grid = part.pivot_table("top1", "method", "column", aggfunc="last", sort=False)
        source = ", ".join(pd.unique(part["source"].str.partition(' "')[0]))
        caption = f"{what}{title(dataset)}: top-1 accuracy in percent, taken as one run each; "
        grid = grid.map(number, form=".2f").rename_axis(columns=None)
        blocks.append((caption + source, grid.reset_index()))
    return Rendered(tuple(blocks), folded=True)


def render_groups(cells: pd.DataFrame) -> Rendered:
    """A table for each factor: accuracy, and beside it that of each group of classes.

    Where all classes are in one group, as in balanced data, its accuracy is the overall one.
    """
    blocks = []
    for block in _blocks(cells[cells["n"] > 0]):
        for _, part in block.groupby("imbalance_factor", sort=False):
            frame = pd.DataFrame({"method": part["method"], "top-1, %": part.apply(accuracy, 1)})
            groups = [group for group in GROUPS if part[group].notna().any()]
            for group in groups if len(groups) > 1 else []:
                frame[f"{group}, %"] = part[group].map(number)
            about = f"{_what(block)}, {place(part)}{_comparability(block)}"
            blocks.append((about, frame))
    return Rendered(tuple(blocks))


def render_differences(differences: pd.DataFrame, baseline: str = "softmax") -> Rendered:
    """What :func:`lt_core.tables.differences` found, best first."""
    frame = pd.DataFrame({"method": differences.index})
    frame["difference, points"] = [number(d, SIGNED) for d in differences["difference"]]
    frame["95 % interval"] = [
        NOTHING if math.isnan(low) else f"{number(low, SIGNED)} to {number(high, SIGNED)}"
        for low, high in differences[["low", "high"]].to_numpy()
    ]
    frame["p, Holm"] = ["< 0.001" if p < 0.001 else number(p, ".3f") for p in differences["p_holm"]]
    about = (
        f"difference from {baseline}, seed effects taken out; each interval holds by itself, p is "
        "corrected for testing all rows"
    )
    return Rendered(((about, frame),))


def render_cost(cells: pd.DataFrame, runs: pd.DataFrame) -> Rendered:
    """What training cost: by method the median time of a run, a table for each hardware.

    ``runs``: records. Runs of one method differ in data; read it as an order of magnitude.
    """
    keys = cells[~cells["rebalanced"].astype(bool)][["method", "keys"]].explode("keys")
    spent = runs.reindex(columns=["key", "seconds", "hardware"]).astype({"key": object})
    spent = keys.merge(spent, left_on="keys", right_on="key").drop_duplicates("key")
    spent["hardware"] = spent["hardware"].replace(r"\b1 threads", "1 thread", regex=True)
    blocks = []
    for hardware, part in spent.groupby("hardware", sort=False):
        found = part.groupby("method", sort=False)["seconds"].agg(["size", "median"]).reset_index()
        unit, size = ("minutes", 60) if found["median"].max() >= 60 else ("seconds", 1)
        found["median"] = [number(seconds / size, ".1f") for seconds in found["median"]]
        frame = found.rename(columns={"size": "runs", "median": f"{unit} per run"})
        about = f"{unit} per run on {hardware}: median of wall time; "
        about += f"{duration(part['seconds'].sum())} in all"
        blocks.append((about, frame))
    return Rendered(tuple(blocks))


def render_trace(trace: pd.DataFrame) -> Rendered:
    """The runs that :func:`lt_core.tables.trace` lists, a table for each experiment."""
    blocks = []
    for part in _blocks(trace):
        cuts = zip(part["dataset"], part["imbalance_factor"], strict=True)
        cuts = [data.at(*cut).removeprefix("at factor ") for cut in cuts]
        frame = pd.DataFrame({"method": part["method"], "factor": cuts}, part.index)
        frame["seed"] = part["seed"].map("{:g}".format)
        frame["top-1, %"] = part["top1"].astype(float).map("{:.2f}".format)
        frame["run"] = part["key"]
        caption = f"every run behind this page: {_what(part)}; {_recipe(part)}"
        blocks.append((caption, frame))
    return Rendered(tuple(blocks), folded=True)


def number(value: object, form: str = ".1f") -> str:
    """A float as tables show it, an unknown one as a dash; anything else as it is."""
    if not isinstance(value, (float, np.floating)):
        return str(value)
    return NOTHING if math.isnan(value) else format(value, form).replace("-", MINUS)


def duration(seconds: float) -> str:
    """``1.5 hours``, or below one hour ``42.0 minutes``."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def accuracy(cell: pd.Series) -> str:
    """``71.23 ± 0.41 (n=3)``; ``(n=2/3)`` where a planned run is missing.

    Two decimals where runs of this kind scatter by at most .5, else one.
    """
    digits = 2 if cell["pooled_sd"] <= 0.5 else 1
    spread = "" if math.isnan(cell["sd"]) else f" ± {cell['sd']:.{digits}f}"
    planned = f"/{cell['planned']:g}" if cell["planned"] > cell["n"] else ""
    return f"{cell['mean']:.{digits}f}{spread} (n={cell['n']}{planned})"


def place(cells: pd.DataFrame) -> str:
    """On what the first of ``cells`` was reached, short: ``factor 100``, ``these images``."""
    return data.at(*cells[["dataset", "imbalance_factor"]].iloc[0]).partition(" ")[2]


def _not_run(cells: pd.DataFrame) -> str:
    """What has no run, in one sentence: methods under each experiment and its factors."""
    where: dict[tuple[str, ...], dict[str, dict[str, bool]]] = {}
    every = set(cells["method"][~cells["added"].astype(bool)])
    blocks = _blocks(cells[cells["n"] == 0])
    lacking: dict[str, dict[str, tuple]] = {}  # by experiment and recipe, the rows
    for block in blocks:
        rows = block[["imbalance_factor", "method"]].itertuples(index=False, name=None)
        lacking.setdefault(_whole(block), {})[block["recipe"].iloc[0]] = tuple(rows)
    for block in blocks:
        what = _whole(block)
        if len(set(lacking[what].values())) > 1:  # of two recipes not the same rows
            what += f", recipe {block['recipe'].iloc[0]},"
        for _, part in block.groupby("imbalance_factor", sort=False):
            places = where.setdefault(tuple(part["method"]), {})
            places.setdefault(what, {})[place(part)] = True  # once, of several recipes
    parts = []
    for methods, places in where.items():
        rows = ", ".join(methods)
        if len(methods) > 2 and every <= set(methods):
            rows = f"all {len(methods)} rows"
        at = (f"{what}{_at(found)}" for what, found in places.items())
        parts.append(f"{rows} on {' and on '.join(at)}")
    return f"Not run: {'; '.join(parts)}." if parts else ""


def _whole(block: pd.DataFrame) -> str:
    return f"{_what(block)}, {_epochs(block)}"


def _epochs(block: pd.DataFrame) -> str:
    epochs = block["epochs"].iloc[0]
    return f"{epochs:g} epoch{'' if epochs == 1 else 's'}"


def _at(places: Iterable[str]) -> str:
    """`` at factor 100, 10``; data that are taken as they are need no word."""
    factors = [cut.removeprefix("factor ") for cut in places if cut.startswith("factor ")]
    return f" at factor {', '.join(factors)}" if factors else ""


def _blocks(cells: pd.DataFrame) -> list[pd.DataFrame]:
    return [block for _, block in cells.groupby(list(BLOCK), sort=False, dropna=False)]


def _across(block: pd.DataFrame) -> pd.DataFrame:
    methods = pd.unique(block["method"])
    frame = pd.DataFrame({"method": methods})
    for _, part in block.groupby("imbalance_factor", sort=False):
        head, part = place(part), part.set_index("method")
        frame[head] = part.apply(accuracy, axis=1).reindex(methods).to_numpy()
        if part["paper"].notna().any():
            cut, paper = head.removeprefix("factor "), part["paper"]
            paper = paper.map(lambda value: number(value, ".2f"))
            frame[f"paper {cut}"] = paper.reindex(methods).to_numpy()
            if part["verdict"].isin(["agrees", "differs"]).any():
                frame[f"verdict {cut}"] = part["verdict"].reindex(methods).to_numpy()
    return frame.fillna(NOTHING)


def _caption(block: pd.DataFrame) -> str:
    """What the block is, which rows no paper's table has, and what it may not be compared with."""
    meaning = "top-1 accuracy in percent at the last epoch, mean ± standard deviation of n seeds"
    added = [] if _is_own(block) else pd.unique(block["method"][~block["in_paper"].astype(bool)])
    ours = f"; not in the paper's table: {', '.join(added)}" if len(added) else ""
    return f"{_what(block)}; {_recipe(block)}; {meaning}{ours}{_comparability(block)}"


def _is_own(cells: pd.DataFrame) -> bool:
    """Whether these are a user's own images, of which no paper knows."""
    return cells["dataset"].iloc[0].startswith(own.PREFIX)


def _recipe(block: pd.DataFrame) -> str:
    first = block.iloc[0]
    changed = f", changed: {first['overrides']}" if first["overrides"] else ""
    return f"recipe {first['recipe']}, {_epochs(block)}, {first['precision']}{changed}"


def _what(block: pd.DataFrame) -> str:
    first = block.iloc[0]
    subset = f", subset {first['subset_seed']:g}" if first["subset_seed"] else ""
    return f"{title(first['dataset'])}{subset}, {first['model']}"


def _comparability(block: pd.DataFrame) -> str:
    held = block["holdout"].iloc[0]
    if held:
        return (
            f"; HELD OUT: accuracy on up to {held:g} training images of each class, which were "
            "kept from training, for a choice; not on the test set"
        )
    if _is_own(block):
        return "" if block["full"].all() else "; REDUCED: a shortened or changed recipe"
    if block["verdict"].str.contains(OTHER_IMAGES, regex=False).any():
        return "; GENERATED OR INCOMPLETE IMAGES, not the published ones: not to be read at all"
    if not block["full"].all():
        return "; REDUCED: a shortened or changed recipe, not to be read beside the paper"
    if block["paper"].isna().all():
        return "; not the paper's experiment, so none of its values stands beside it"
    return ""


def _html(caption: str, frame: pd.DataFrame, folded: bool) -> str:
    """A table whose rows are headed by their first entry; the book aligns it, access.py."""
    head = f"<thead>{_row('col', frame.columns)}</thead>"
    body = "\n".join(["<tbody>", *(_row("row", row) for row in frame.to_numpy()), "</tbody>"])
    caption = html.escape(caption)
    within = "" if folded else f"<caption>{caption}</caption>"
    # A method's name may hold a dollar sign, which is no formula.
    kinds = "lt-table tex2jax_ignore mathjax_ignore"
    table = f'<table class="{kinds}">{within}\n{head}\n{body}\n</table>'
    if folded:
        return f"<details>\n<summary>{caption}</summary>\n{table}\n</details>"
    return table


def _row(scope: str, entries: Iterable[object]) -> str:
    """A row; ``scope`` ``"col"`` heads columns, ``"row"`` is headed by its first entry."""
    cells = []
    for place, entry in enumerate(entries):
        text = html.escape(str(entry))
        if scope == "col" or place == 0:
            cells.append(f'<th scope="{scope}">{text}</th>')
        else:
            cells.append(f"<td>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _text(caption: str, frame: pd.DataFrame) -> str:
    lines = [[_printable(entry) for entry in row] for row in [frame.columns, *frame.to_numpy()]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([_printable(caption), rows[0], rule, *rows[1:]])


def _printable(value: object) -> str:
    """Text that cannot move a terminal's cursor or break a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
