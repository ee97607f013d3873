"""ICB's readings: the plan serves a choice, the weights are what it says, and so is the page."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("IPython", reason="needs the notebooks extra")

RESULTS = Path(__file__).parents[1] / "results"
CELLS = Path(__file__).with_name("notebook_cells.py")

CHECK = """
import torch, icb_readings
from lt_core import losses

plan = icb_readings.plan()
assert len({config.key for config in plan}) == 3 * len(icb_readings.READINGS)
assert all(config.holdout == 400 for config in plan)  # never the test set

target = torch.multinomial(torch.tensor([100.0, 30.0, 10.0]), 640, True)
gradient = torch.rand(640, dtype=torch.float64).pow(3)
for keeps in ("batch", "average", "frequency"):
    loss = losses.create("icb_reading", [100, 30, 10], keeps=keeps)
    weight = loss.weights(gradient, target)
    for category in range(3):
        assert abs(weight[target == category].mean() - 1) < 1e-9
    assert weight.std() > 0.1
rarest = loss.weights(gradient, target)[target == 2]  # one bin: no weight
assert (rarest == 1).all()

loss = losses.create("icb_reading", [100, 30, 10], scale="none")
for category, K in ((0, 12), (1, 12)):
    g = gradient[target == category]
    alike = [((g * K).long() == int(x * K)).double().mean() for x in g]
    expected = 1 / (K * torch.stack(alike))
    assert torch.allclose(loss.weights(gradient, target)[target == category], expected)
"""


def test_readings_are_planned_on_held_out_images_and_weigh_as_they_say():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=RESULTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def add(folder, name, like, **changed):
    """A run more in the records ``name``: the first one that is ``like`` this, but for a few."""
    runs = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    same = runs[[all(row[k] == v for k, v in like.items()) for _, row in runs.iterrows()]]
    key = f"{len(runs):016x}"
    for part, file in ((same[:1], name), (None, f"{name}_classes"), (None, f"{name}_history")):
        old = pd.read_csv(folder / f"{file}.csv", dtype=str, keep_default_na=False)
        part = old[old["key"] == same["key"].iloc[0]] if part is None else part.assign(**changed)
        new = pd.concat([old, part.assign(key=key)])
        new.to_csv(folder / f"{file}.csv", index=False)


@pytest.mark.slow
def test_the_page_of_icb_follows_the_records_and_mixes_no_two_experiments(tmp_path):
    folders = {name: tmp_path / name for name in ("as it is", "others", "more")}
    for folder in folders.values():
        shutil.copytree(RESULTS, folder)
    softmax, default = ({"method": m, "variant": "", "epochs": "60"} for m in ("softmax", "icb"))
    for other in ({"epochs": "200"}, {"precision": "float16"}, {"subset_seed": "1"}):
        add(folders["others"], "resnet32", softmax, top1="99.0", **other)
        add(folders["others"], "icb_readings", {"variant": "intra=False"}, top1="1.0", **other)
    alone = {"bins": 12, "density": "uniform", "gamma": 0.8, "gradient": "raw", "inter": False}
    alone |= {"intra": True, "memory": 1, "normalize": "category", "reduction": "mean"}
    alone = {"variant": "density=uniform,inter=False", "params": json.dumps(alone)}
    add(folders["more"], "resnet32", default, top1="61.5", **alone)
    best = {"method": "icb_reading", "variant": "keeps=average", "top1": "99.0"}
    add(folders["more"], "icb_readings", {"variant": "intra=False"}, **best, seed="1")
    cases = [("07_icb", {}, str(of), n) for of in folders.values() for n in ("photographs", "told")]
    command = [sys.executable, CELLS, RESULTS.parent / "notebooks"]
    done = subprocess.run(command, input=json.dumps(cases), text=True, stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["error"] for line in lines] == [None] * len(cases)
    pairs = zip(lines[::2], lines[1::2], strict=True)
    (ablation, told), others, (with_row, more) = (
        (ast.literal_eval(a["last"]), b["last"]) for a, b in pairs
    )
    assert others == (ablation, told)
    label = "CIFAR-10 with ResNet-32"
    assert with_row == ablation | {label: ablation[label] | {"weight, equal bins": {0: 61.5}}}
    (total,) = re.search(r"All (\d+) readings", told).groups()
    assert f"{int(total) - 1} of {total} readings" in more
