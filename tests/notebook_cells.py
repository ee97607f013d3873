"""Runs notebooks' code cells one after another in this process: no kernel, one import of torch.

``python notebook_cells.py FOLDER`` reads a JSON list of ``[name, values, records, last]`` from
standard input, runs ``FOLDER/name.ipynb`` with ``values`` in the place of its parameters, and
writes a line of JSON for each: the error or None, the last value of ``as_written``, and seconds
of CPU. ``records=False``: as if no run had been recorded; a folder: with the records there.
``last``: stop after the cell that assigns this name, and tell its value as text.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from lt_core.runs import records as recorded

SHIPPED = recorded.shipped


def without_records(folder: str) -> Path:
    return Path(tempfile.gettempdir(), "no-such-folder") if folder == "results" else SHIPPED(folder)


def run(path: Path, values: dict, records: bool | str, last: str | None) -> dict:
    recorded.shipped = SHIPPED if records else without_records
    if isinstance(records, str):
        recorded.shipped = lambda _: Path(records)
    InteractiveShell.clear_instance()
    shell, started = InteractiveShell.instance(), time.process_time()
    plt.close("all")
    found = {"error": None}
    with contextlib.chdir(path.parent):
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            if cell["cell_type"] != "code":
                continue
            source = "".join(cell["source"])
            with capture_output():
                done = shell.run_cell(source)
                if "parameters" in cell["metadata"].get("tags", []):
                    shell.push(values)
            if error := done.error_before_exec or done.error_in_exec:
                where = f"cell {number}: {type(error).__name__}: {error}"
                found["error"] = " ".join(where.split())[:300]
                break
            if last and re.search(rf"^{last} \W?=", source, re.MULTILINE):
                break
    found["as_written"] = bool(shell.user_ns.get("as_written", False))
    found["last"] = str(shell.user_ns.get(last))
    return found | {"seconds": time.process_time() - started}


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
    for name, *case in json.load(sys.stdin):
        line = run(Path(sys.argv[1], f"{name}.ipynb").resolve(), *case)
        print(json.dumps(line), file=answers, flush=True)
