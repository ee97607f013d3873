"""What the first page says in numbers is what the records say."""

import re
from pathlib import Path

import pandas as pd
import pytest

from lt_core import tables
from lt_core.runs import records

ROOT = Path(__file__).parents[1]
SMALL = {"model": "resnet_rehearsal", "epochs": 40}
RESNET32 = {"model": "resnet32", "epochs": 60, "precision": "bfloat16"}
FULL = {"model": "resnet32", "precision": "bfloat16"}
#: Sentence of the first pages, and the rows of Table 1 and 3 whose means its numbers are.
SAID = {
    r"margin alone reaches ([\d.]+) %, .*?weight it is ([\d.]+) %, and softmax has ([\d.]+) %": [
        ("table3", "icb[inter]", SMALL),
        ("table1", "icb", SMALL),
        ("table1", "softmax", SMALL),
    ],
    r"60 epochs, ([\d.]+) %, ([\d.]+) % and ([\d.]+) %": [
        ("table3", "icb[inter]", RESNET32),
        ("table1", "icb", RESNET32),
        ("table1", "softmax", RESNET32),
    ],
    r"one seed, ([\d.]+) %, where the poster": [("table1", "softmax", FULL)],
    r"reach ([\d.]+) % and ([\d.]+) % in the same.*?GALA ([\d.]+) % \(([\d.]+) % with": [
        ("table1", "logit_adjustment", SMALL),
        ("table1", "balanced_softmax", SMALL),
        ("table1", "gala", SMALL),
        ("table1", "gala+rebalance", SMALL),
    ],
}


def mean(table, label, experiment):
    plan = tables.plan(table, "cifar10", [100], [label], **experiment)
    return tables.means(tables.cells(records.committed().runs, table, plan))[f"{label}@100"]


@pytest.mark.parametrize(("page", "said"), [("book/index.md", 11), ("README.md", 8)])
def test_the_percentages_of_the_first_pages_are_means_of_the_records(page, said):
    text, numbers = " ".join((ROOT / page).read_text().split()), 0
    for sentence, rows in SAID.items():
        if found := re.search(sentence, text):
            for number, row in zip(found.groups(), rows, strict=True):
                assert abs(float(number) - mean(*row)) <= 0.051, row
                numbers += 1
    assert numbers == said
    assert len(re.findall(r"\d\.\d %", text)) == said


@pytest.mark.parametrize("page", ["book/index.md", "README.md"])
def test_the_first_pages_say_how_many_published_accuracies_were_repeated_in_full(page):
    runs = records.committed().runs
    papers = ["table1", "table2", "table3", "gala"]
    cells = pd.concat([tables.cells(runs, name) for name in papers])
    full = cells[cells["paper"].notna() & (cells["n"] > 0)]
    text = " ".join((ROOT / page).read_text().split())
    numbers = r"(\d+) of the papers' (\d+) overall accuracies has been run in full"
    count, total, paper = re.search(numbers + r".*?has ([\d.]+) %", text).groups()
    once = pd.concat([tables.repeated(tables.cells(runs, name), name) for name in papers])
    assert int(total) == len(once) == 96 + 12 + 5 + 14  # GALA's two readings counted once
    assert int(count) == (once > 0).sum() == len(full) == 1  # more take other words
    assert float(paper) == full["paper"].item()


def test_the_readme_says_how_many_seeds_each_data_set_has():
    runs = records.committed().runs
    runs = runs[(runs["model"] == SMALL["model"]) & (runs["epochs"] == SMALL["epochs"])]
    runs = runs[(runs["recipe"] == "ldam_drw") & (runs["imbalance_factor"] == 100)]
    runs = runs[runs["holdout"] == 0]
    seeds = runs.pivot_table("seed", "dataset", "method", aggfunc="nunique", fill_value=0)
    assert seeds.shape == (2, 13)
    fewest = (["no", "one", "two", "three"][n] for n in seeds.min(axis=1))
    text = " ".join((ROOT / "README.md").read_text().split())
    said = r"all thirteen losses on CIFAR-10 and CIFAR-100 .*?40 epochs, (\w+) seeds each;"
    assert {re.search(said, text)[1]} == set(fewest)
