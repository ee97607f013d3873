"""Every chapter at the smallest values of its parameters, and every page without records.

The cells run in one process (``notebook_cells.py``): about four minutes of one core. The
notebook that fills a table is executed in ``tables/test_filling.py``.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ci_book
import pandas as pd
import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")

from lt_core.book import notebooks, parameters_cell  # noqa: E402
from lt_core.errors import ConfigError  # noqa: E402

SCRIPT = Path(__file__).with_name("notebook_cells.py")
CHAPTERS = [p for p in ci_book.NOTEBOOKS if p.stem != "reproduce"]
DEAR = ("06_focal_and_ghm", "losses_elsewhere")  # at any values: half a minute each
OWN_LEAST = {"class_numbers": [10]}  # tens


def smallest(path):
    """1 for every parameter that is a number, [1] for every list of numbers."""
    values = {}
    declared = notebooks.parameters_of(path)
    for name in declared:
        with contextlib.suppress(ConfigError):
            values |= parameters_cell.check(declared, {name: OWN_LEAST.get(name, 1)}, path.name)
    return values


def run(cases):
    """What ``notebook_cells.run`` says of each case."""
    command = [sys.executable, SCRIPT, ci_book.ROOT / "notebooks"]
    done = subprocess.run(command, input=json.dumps(cases), text=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_smallest_values_and_no_records_do_not_stop_a_page():
    cases = []
    for path in CHAPTERS:
        least = smallest(path)
        long_tail = {n: v for n, v in least.items() if not n.startswith("imbalance_factor")}
        if path.stem not in DEAR:
            cases.append([path.stem, least, True, None])
        cases.append([path.stem, long_tail, False, None])
    found = run(cases)
    assert len(found) == len(cases)
    errors = [(*case, line["error"]) for case, line in zip(cases, found, strict=True)]
    assert [error for error in errors if error[-1]] == []


@pytest.mark.slow
def test_no_claim_is_checked_where_one_parameter_is_at_its_smallest():
    """A chapter's claims hold at the parameters that they were written for, and few others."""
    written = [p for p in CHAPTERS if "as_written" in p.read_text()]
    assert len(written) >= 5
    cases = [
        [path.stem, {name: value}, True, "as_written"]
        for path in written
        for name, value in smallest(path).items()
    ]
    found = run(cases)
    assert len(found) == len(cases)
    bad = [c[:2] for c, line in zip(cases, found, strict=True) if line["as_written"]]
    assert bad == []
    assert [line["error"] for line in found if line["error"]] == []


@pytest.mark.slow
def test_a_changed_record_stops_a_page_whose_sentences_are_no_longer_true(tmp_path):
    shutil.copytree(ci_book.ROOT / "results", tmp_path, dirs_exist_ok=True)
    runs = pd.read_csv(tmp_path / "rehearsal.csv", dtype=str)
    lower = runs["method"] == "gala"
    runs.loc[lower, "top1"] = (runs.loc[lower, "top1"].astype(float) - 15).astype(str)
    runs.to_csv(tmp_path / "rehearsal.csv", index=False)
    found = run([[page, {}, str(tmp_path), None] for page in ("icb_tables", "gala_tables")])
    assert ["AssertionError" in line["error"] for line in found] == [True, True], found


@pytest.mark.slow
@pytest.mark.skipif("LT_DATA_ROOT" not in os.environ, reason="names the folder with cifar10/")
def test_the_losses_elsewhere_train_on_real_images_too():
    values = {"dataset": "cifar10", "data_root": os.environ["LT_DATA_ROOT"], "epochs": 1}
    (line,) = run([["losses_elsewhere", values, True, None]])
    assert line["error"] is None


@pytest.mark.slow
def test_a_list_may_come_as_text_which_is_what_papermill_makes_of_it():
    cases = [
        ["03_reweighting", {"lengths": "10,20", "seeds": 1}, True, "size"],
        ["06_focal_and_ghm", {"class_numbers": "[10, 20]", "seeds": 1}, True, "as_written"],
        ["06_focal_and_ghm", {"class_numbers": 10, "seeds": 1}, True, "as_written"],
    ]
    assert [line["error"] for line in run(cases)] == [None] * len(cases)
