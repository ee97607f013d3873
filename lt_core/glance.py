"""Methods at a glance: a card for each loss, made from its docstring, its code, its cost.

Nothing about a method is written here. Prose and formulas come from the docstring of its
class, defaults from its signature, state from an instance, cost from the recorded benchmark.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lt_core import losses
from lt_core.losses.draws import DrawingLoss
from lt_core.runs import records

#: What the docstring of a loss must say, in the order of a card, and how each part begins.
PARTS = {
    "summary": r"",
    "formula": r"\.\. math::",
    "gradient": r"Gradient(?: with respect to the cosines)?:",
    "parameters": r"Parameters:",
    "defaults": r"Defaults:",
    "state": r"State:",
    "shapes": r"logits ``\(N, C\)``",
    "source": r"Source:",
}
#: A number of classes that no other size of a state equals, so that C can be told apart.
_CLASSES = 97
_COST = re.compile(r"B=(\d+), C=(\d+): (\w+)(.*) \(\d+ ops\)")


def parts(loss_class: type[losses.LongTailLoss]) -> dict[str, str]:
    """The parts of a loss's docstring as Markdown; what belongs to none is in ``notes``.

    A part begins at the start of a paragraph, line or sentence and ends with its paragraph,
    or before the next part; a list goes with the part before it.
    """
    begins = "|".join(f"(?={start})" for start in PARTS.values() if start)
    found = {"summary": "", "notes": ""}
    name = "summary"
    for paragraph in re.split(r"\n\s*\n", inspect.getdoc(loss_class) or ""):
        if not paragraph.startswith("- "):
            name = "notes" if found["summary"] else "summary"
        for piece in re.split(rf"(?:^|(?<=[.])\s)(?:{begins})", paragraph, flags=re.MULTILINE):
            name = _part_of(piece) or name
            found[name] = f"{found.get(name, '')}\n\n{markdown(piece)}".strip()
    return found


def _part_of(text: str) -> str | None:
    starts = ((name, start) for name, start in PARTS.items() if start)
    return next((name for name, start in starts if re.match(start, text)), None)


def markdown(text: str) -> str:
    """A docstring's mark-up as Markdown: mathematics, code, references to other objects."""
    text = text.strip()
    if block := re.match(r"\.\. math::\s*(.*)", text, re.DOTALL):
        formula = re.sub(r"\n\s*", "\n", block[1].strip())
        if len(formula) > 110:  # too wide for a page: a line each
            lines = formula.replace("\\qquad", "\\\\")
            formula = f"\\begin{{gathered}}\n{lines}\n\\end{{gathered}}"
        return f"$$\n{formula}\n$$"
    text = re.sub(r":math:`([^`]*)`", lambda found: f"${' '.join(found[1].split())}$", text)
    text = re.sub(r":(?:func|class|mod|meth):`[.~]?([^`]*)`", r"`\1`", text)
    return text.replace("``", "`")


def card(name: str) -> str:
    """Everything about a method in Markdown, for a page of the book."""
    found = parts(losses.loss_class(name))
    defaults = losses.defaults(name)
    lines = [
        f"**{found['summary']}**",
        found["formula"],
        found["notes"],
        _titled(found["gradient"]),
        f"```python\n{_call(name, defaults)}\n```",
        _titled(found["parameters"]) if defaults else "",
        _titled(found.get("defaults", "")),
        f"**Input:** {found['shapes']}",
        _titled(found.get("state", "")),
        f"**Saved in** `state_dict`**:** {state(name)}.",
        f"**Cost,** as a multiple of cross-entropy: {_cost_in_words(name)}.",
        _titled(found["source"]),
    ]
    return "\n\n".join(line for line in lines if line)


def _call(name: str, params: Mapping[str, object]) -> str:
    """How to make the loss with ``params``; a line for each, where one line is too narrow."""
    arguments = [f'"{name}"', "class_counts", *(f"{key}={_quoted(params[key])}" for key in params)]
    call = f"losses.create({', '.join(arguments)})"
    if len(call) > 70:
        call = "losses.create(\n    " + ",\n    ".join(arguments) + ",\n)"
    return call


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _titled(text: str) -> str:
    """``text`` with the word that it begins with, up to the colon, in bold."""
    return re.sub(r"^([^:]+:)", r"**\1**", text)


def state(name: str) -> str:
    """What ``state_dict`` of the loss holds at its defaults, with shapes."""
    loss = losses.create(name, range(_CLASSES, 0, -1))
    entries = [
        f"`{key}` ({', '.join('C' if size == _CLASSES else str(size) for size in tensor.shape)})"
        for key, tensor in loss.named_buffers()
        if key in loss.state_dict()
    ]
    if isinstance(loss, DrawingLoss):
        entries.append("the generator of its random numbers")
    return ", ".join(entries) or "nothing"


def overview() -> pd.DataFrame:
    """A row a method: what it asks of the training loop, and what it costs."""
    table = cost()
    rows = {}
    for name in losses.names():
        loss_class = losses.loss_class(name)
        rows[name] = {
            "logits": "cosines" if loss_class.takes_cosines else "any",
            "state": "no" if state(name) == "nothing" else "yes",
            "epoch": "yes" if loss_class.set_epoch is not losses.LongTailLoss.set_epoch else "no",
        }
        own = table[(table["method"] == name) & (table["variant"] == "")]
        rows[name] |= {f"x CE, C = {row.classes:,}": row.cost for row in own.itertuples()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


@functools.cache
def cost() -> pd.DataFrame:
    """Time of a loss forward and backward over that of ``F.cross_entropy``, as recorded.

    Columns ``samples, classes, method, variant, cost``, few classes first, from the newest
    file that ``python -m benchmarks.losses`` wrote; no rows where none ships.
    """
    found = []
    if file := cost_file():
        for row in pd.read_csv(file).itertuples():
            if match := _COST.fullmatch(row.what):
                samples, classes, method, variant = match.groups()
                found.append((int(samples), int(classes), method, variant.strip(), row.value))
    table = pd.DataFrame(found, columns=["samples", "classes", "method", "variant", "cost"])
    return table.sort_values("classes", kind="stable")


def cost_file() -> Path | None:
    """The newest record of the benchmark; its name says the hardware and the month."""
    files = records.shipped("benchmarks").glob("losses_*.csv")
    return max(files, key=lambda file: file.stem[-6:], default=None)


def _cost_in_words(name: str) -> str:
    table = cost()
    table = table[table["method"] == name]
    said = []
    for variant, rows in table.groupby("variant", sort=False):
        times = [f"{row.cost:.1f} at {row.classes:,} classes" for row in rows.itertuples()]
        given = variant.replace(" ", ", ")
        said.append(" and ".join(times) + (f" with `{given}`" if variant else ""))
    return "; ".join(said) or "not recorded"
