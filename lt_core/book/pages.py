"""Make the book's pages from prose and executed notebooks.

jupyter-book reads a folder that is put together for it and treats warnings as errors. Its
pages replace the old ones only where there was no warning.
"""

from __future__ import annotations

import copy
import json
import os
import pprint
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lt_core import errors
from lt_core.book import notebooks
from lt_core.book.process import tags, write
from lt_core.runs.store import reported

if TYPE_CHECKING:
    import nbformat


class BookError(errors.LtError):
    """A book that could not be built; the pages of the last one stay."""


def assemble(root: Path, source: Path, executed: Mapping[Path, Path]) -> None:
    """Put together what jupyter-book reads: configuration, prose, executed notebooks.

    ``executed`` maps each notebook under ``root`` to its executed copy.
    """
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copyfile(root / name, source / name)
    for notebook, done in executed.items():
        target = source / notebook.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(shown(done), encoding="utf-8")


def shown(executed: Path) -> str:
    """The notebook as a reader sees it.

    The parameters that were given are shown without those that hold paths of this machine; a
    page that trained at CI size says so; folded cells at the top are named; captions stand
    under figures only; the last line says when, where and with which versions the page was
    executed.
    """
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    status = notebooks.finished(executed) or {}
    set_up = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    for cell in notebook.cells:
        if "parameters" in tags(cell):
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters"}
        elif cell is set_up and "mystnb" not in cell.metadata:
            cell.metadata["mystnb"] = {"code_prompt_show": "Set-up"}
        elif "injected-parameters" in tags(cell):
            given = {n: v for n, v in status["given"].items() if "/" not in json.dumps(v)}
            lines = (f"{n} = {pprint.pformat(v, sort_dicts=False)}" for n, v in given.items())
            cell.source = "\n".join(lines)
            cell.metadata["tags"] = [*tags(cell), "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Values given for this page"}
    notebook.cells = [part for cell in notebook.cells for part in _figure_and_words(cell)]
    if status.get("parameters", {}).get("quick"):
        say_under_title(
            notebook,
            "This page was executed with `quick = True`: what it trains is smaller than "
            "the defaults below say; it prints what was run.",
        )
    if status:
        notebook.cells.append(nbformat.v4.new_markdown_cell(_closing_line(status)))
    return nbformat.writes(notebook)


def _closing_line(status: Mapping[str, object]) -> str:
    """When, where and with which versions the page was executed."""
    commit = f" at commit {status['commit']}" if status.get("commit") else ""
    again = "lt-core book --quick" if status["parameters"].get("quick") else "lt-core book"
    return (
        f"*Executed on {status['started'][:10]} in {status['seconds']:.0f} s on "
        f"{status.get('processor')}, with Python {status['python']}, PyTorch {status.get('torch')} "
        f"and lt_core {status.get('lt_core')}{commit}. To repeat it:* `{again}`."
    )


def _figure_and_words(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cell with its figure alone, and a second cell with whatever else it displayed.

    jupyter-book puts the caption under everything that a cell displays.
    """
    if "figure" not in cell.metadata.get("mystnb", {}):
        return [cell]
    for kind in ("image/svg+xml", "image/png", "text/html"):
        figure = [output for output in cell.outputs if kind in output.get("data", {})]
        if figure:
            words = copy.deepcopy(cell)
            words.outputs = [output for output in cell.outputs if output not in figure]
            words.id, words.source, words.metadata = (
                f"{cell.id}-words",
                "# what else the cell above displayed",  # a cell without source is left out
                {"tags": ["remove-input"]},
            )
            cell.outputs = figure
            return [cell, words] if words.outputs else [cell]
    del cell.metadata["mystnb"]["figure"]  # a caption without its figure would stand there
    return [cell]


def refuse_to_replace(html: Path) -> None:
    """A folder that holds something else than a book is not deleted."""
    if os.path.lexists(html) and not (html / "searchindex.js").exists():
        raise BookError(f"{html}: is there and is no book; move it away or give another --out")


def render(work: Path, html: Path) -> Path:
    """Run jupyter-book with warnings as errors and put its pages in place of the old ones."""
    built = work / "_build"
    shutil.rmtree(built, ignore_errors=True)  # a second, unchanged build would hide warnings
    # Not the command, which PATH need not know.
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(work / "source")]
    command += ["--path-output", str(work), "-W", "--keep-going", "-n"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},  # of Sphinx's own code, not of the book
        check=False,
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # colours
    write(work / "build.log", log)
    if done.returncode != 0 or not (built / "html/index.html").exists():
        problems = [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line]
        problems = problems or [line for line in log.splitlines() if line.strip()][-3:]
        shown = "\n  ".join(line.replace(f"{work / 'source'}/", "") for line in problems[:10])
        raise BookError(
            f"the book has {len(problems)} problems, all in {work}/build.log:\n  {shown}"
        )
    refuse_to_replace(html)
    # The pages may have to be copied from another disk: beside the old ones, then in their place.
    new, old = (html.with_name(f".{html.name}.{which}") for which in ("new", "old"))
    with reported(html, "out"):
        html.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not html.exists():  # killed between the last two of these lines
            old.rename(html)
        for rest in (new, old):
            shutil.rmtree(rest, ignore_errors=True)
        shutil.move(built / "html", new)
        if html.exists():
            html.rename(old)
        new.rename(html)
    shutil.rmtree(old, ignore_errors=True)
    return html / "index.html"


def say_under_title(notebook: nbformat.NotebookNode, sentence: str) -> None:
    """Put a sentence in italics under the page's title."""
    title, _, rest = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n*{sentence}*\n{rest}"
