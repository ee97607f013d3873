"""The README's command on real images, as a user calls it: CIFAR-10, three epochs."""

import os
import subprocess
import sys

import pytest

from lt_core import runs
from lt_core.book import notebooks
from lt_core.runs import records

DATA = os.environ.get("LT_DATA_ROOT")
METHODS = ("icb",)  # the README has softmax and gala too: minutes more of the same


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="LT_DATA_ROOT is not set: it names the folder with cifar10/")
def test_the_readmes_command_fills_the_notebook_of_table_1(tmp_path):
    pytest.importorskip("papermill", reason="needs the notebooks extra")
    command = [sys.executable, "-m", "lt_core", "reproduce", "table1", "--dataset", "cifar10"]
    command += ["--imbalance-factor", "100", "--methods", ",".join(METHODS), "--epochs", "3"]
    command += ["--seeds", "1", "--data-root", DATA, "--store", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "REDUCED" in done.stdout
    assert "75.39" not in done.stdout  # the paper's value for icb stands beside full runs only

    frame = runs.load(tmp_path / "runs")
    assert sorted(frame["method"]) == sorted(METHODS)
    assert set(frame["model"]) == {"resnet32"}
    assert set(frame["train_images"]) == {12_406}
    assert frame["top1"].between(10, 60).all()  # better than chance after three epochs
    assert notebooks.finished(tmp_path / "runs/reproduce_table1.ipynb")

    assert records.write(tmp_path / "runs", tmp_path / "table1.csv") == len(METHODS)
    assert len(records.read(tmp_path / "table1.csv")) == len(METHODS)
