"""What the first page says in numbers is what the records say."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lt_core import data, losses, margins, tables
from lt_core.runs import records
from lt_core.tables.statistics import least_difference, paired_sd

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
    r"reach ([\d.]+) % and ([\d.]+) % in the .*?GALA ([\d.]+) % \(([\d.]+) % with": [
        ("table1", "logit_adjustment", SMALL),
        ("table1", "balanced_softmax", SMALL),
        ("table1", "gala", SMALL),
        ("table1", "gala+rebalance", SMALL),
    ],
}

#: Sentence of the first pages, and the assertion by which a chapter holds it at published size.
HELD = {
    "02_softmax_gradient": (
        r"more than (\d+) times as hard",
        r"pushed\[0\] > (\d+) \* pulled\[0\]",
    ),
    "03_reweighting": (r"about (\d+) points more", r"abs\(gain\[0\]\.mean\(\) - (\d+)\) < 10\b"),
}
each_page = pytest.mark.parametrize("page", ["book/index.md", "README.md"])


def read(page):
    return " ".join((ROOT / page).read_text().split())


def mean(table, label, experiment):
    plan = tables.plan(table, "cifar10", [100], [label], **experiment)
    return tables.means(tables.cells(records.committed().runs, table, plan))[f"{label}@100"]


@pytest.mark.parametrize(("page", "said"), [("book/index.md", 11), ("README.md", 8)])
def test_the_percentages_of_the_first_pages_are_means_of_the_records(page, said):
    text, numbers = read(page), 0
    for sentence, rows in SAID.items():
        if found := re.search(sentence, text):
            for number, row in zip(found.groups(), rows, strict=True):
                assert abs(float(number) - mean(*row)) <= 0.051, row
                numbers += 1
    assert numbers == said
    assert len(re.findall(r"\d\.\d %", text)) == said


@each_page
@pytest.mark.parametrize("chapter", HELD)
def test_what_the_first_pages_say_in_round_numbers_stops_the_chapter_if_it_is_false(page, chapter):
    said, held = HELD[chapter]
    cells = json.loads((ROOT / f"notebooks/{chapter}.ipynb").read_text())["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert re.search(said, read(page))[1] == re.search(rf"holds\(.*{held}", source)[1]


@each_page
def test_what_the_first_pages_say_of_the_prior_is_what_the_margins_take_out(page):
    counts = np.array(data.load("digits", "train", 100).class_counts)
    whole = np.log(counts / counts[:, None])
    gamma, p = losses.defaults("icb")["gamma"], losses.defaults("seesaw")["p"]
    assert gamma == p  # one formula, one table
    odds = [margins.boundaries(M)[0, -1] for M in (gamma * np.minimum(0, whole), whole)]
    said = r"of the digits it takes out (\d+) % of the prior, balanced softmax (\d+) %"
    shares = [round(100 * abs(odd / whole[0, -1])) for odd in odds]
    assert [int(number) for number in re.search(said, read(page)).groups()] == shares


@each_page
def test_the_first_pages_say_in_how_many_cells_icbs_lead_is_more_than_noise(page):
    table = tables.published("table1").query("group == 'all' and imbalance_factor > 1")
    index = ["dataset", "imbalance_factor"]
    wide = table.pivot_table(index=index, columns="method", values="top1")
    twins = wide.loc["cifar100", ["class_balanced", "effective_number"]]
    lead = wide["icb"] - wide["seesaw"]
    beyond = (lead > least_difference(paired_sd(*twins.to_numpy().T))).sum()
    count, cells = re.search(r"exceeds the noise in \[?(\d+) of (\d+) cells", read(page)).groups()
    assert (int(count), int(cells)) == (beyond, len(lead))


@each_page
def test_the_first_pages_say_how_many_published_accuracies_were_repeated_in_full(page):
    runs = records.committed().runs
    papers = ["table1", "table2", "table3", "gala"]
    cells = pd.concat([tables.cells(runs, name) for name in papers])
    full = cells[cells["paper"].notna() & (cells["n"] > 0)]
    text = read(page)
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
    text = read("README.md")
    said = r"all thirteen losses on CIFAR-10 and CIFAR-100 .*?40 epochs, (\w+) seeds each;"
    assert {re.search(said, text)[1]} == set(fewest)
