"""Every table with every option, from plan to page and notebook."""

from __future__ import annotations

import inspect
import shlex

import numpy as np
import pandas as pd
import pytest
import stores
from made_up_records import records

from lt_core import cli, parameters, runs, tables, training
from lt_core.book import notebooks, reproducing
from lt_core.errors import ConfigError, Unfinished
from lt_core.parameters import listed
from lt_core.runs.records import committed
from lt_core.tables import filling, rendering

OPTIONS = [
    {"methods": None},
    {"methods": None, "imbalance_factors": [1]},
    {"imbalance_factors": "10,1"},
    {"imbalance_factors": 12.345678},
    {"methods": "class_balanced", "imbalance_factors": 1},
    {"methods": ["class_balanced", "icb"], "imbalance_factors": [100, 1]},
    {"methods": ["ghm"], "seeds": 3},
    {"methods": "softmax+rebalance"},
    {"methods": ["icb+rebalance", "gala+rebalance", "ldam+rebalance"], "seeds": 2},
    {"methods": ["ldam", "gcl"], "seeds": 2},
    {"seeds": [7]},
    {"seeds": "3,5", "epochs": 1},
    {"model": "resnet_rehearsal", "epochs": 2},
    {"precision": "bfloat16", "seeds": 2},
    {"recipe": "gala"},
    {"recipe": ["ldam_drw", "gala"], "epochs": 40, "seeds": 2},
    {"subset_seed": 4},
    {"holdout": 5, "seeds": 2},
    {"dataset": "cifar10", "imbalance_factors": 100},
    {"dataset": ["digits", "cifar100"], "imbalance_factors": [10], "seeds": 2},
]


#: What may be finished of a plan, and what an older file may lack.
FOUND = {
    "nothing": lambda runs: pd.DataFrame(),
    "no row": lambda runs: runs.iloc[:0],
    "half": lambda runs: runs.iloc[::2],
    "one": lambda runs: runs.iloc[[-1]],
    "all": lambda runs: runs,
    "few columns": lambda runs: runs[["key", "method", "seed", "top1"]],
    "from a file": lambda runs: runs.mask(runs == ""),
    "no accuracy": lambda runs: runs.assign(top1=np.nan),
}


def every_page(found: pd.DataFrame, table: str, plan: list, methods: object) -> pd.DataFrame:
    """All that notebooks draw from the records ``found``; returns the cells."""
    shown = tables.cells(found, table, plan, methods)
    classes = pd.DataFrame(columns=["key", "class_rank", "images", "accuracy"])
    main = tables.largest_experiment(shown)
    for cells in (shown, filling.with_company(main)):
        made = [tables.render(cells), tables.render_groups(cells)]
        made += [tables.render_cost(cells, found), tables.render_trace(tables.trace(cells))]
        assert "nan" not in " ".join(map(str, made)) + " ".join(table.html for table in made)
        sentences = [tables.coverage(cells), tables.flattery(cells)]
        sentences += [tables.provenance(cells, found)]
        assert "nan" not in " ".join(sentences)
        assert all(
            np.isfinite(value) for value in tables.means(tables.largest_experiment(cells)).values()
        )
    for factor in [*main["imbalance_factor"].unique(), 3]:
        differences = tables.differences(main, factor)
        sentences = [tables.significance(differences), str(tables.render_differences(differences))]
        sentences += [tables.ranking(main, factor), tables.trade(main, factor)]
        assert all(sentences)
        assert "nan" not in " ".join(sentences)
        assert tables.by_class(main, factor, classes)[1] == {}
    return shown


def requested(table: str, option: dict) -> dict:
    """What ``option`` asks for, of a few rows where it names none."""
    few = [row.label for row in tables.get(table).rows][::4]
    return {"dataset": "digits", "seeds": 1, "methods": few, **option}


@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=lambda number: str(OPTIONS[number]))
@pytest.mark.parametrize("table", tables.names())
def test_what_is_asked_for_is_planned_and_shown(table, number):
    request = requested(table, OPTIONS[number])
    plan = tables.plan(table, **request)
    finished = records(plan).assign(hardware="a core", seconds=60.0)
    part = FOUND[list(FOUND)[number % len(FOUND)]](finished)
    every_page(part, table, plan, request["methods"])
    shown = every_page(finished, table, plan, request["methods"])
    assert {key for keys in shown["keys"] for key in keys} == {config.key for config in plan}
    asked = parameters.listed(request["methods"]) or tables.rows(table)
    named = {"icb": "icb[inter,intra,aura]"} if table == "table3" else {}
    assert {named.get(label, label) for label in asked} <= set(shown["method"])
    text = str(tables.render(shown))
    assert all(f"\n{label} " in text for label in shown["method"])


OF_THE_COMMAND_LINE = [
    option for option in OPTIONS if not {"recipe", "subset_seed"} & set(option)
    and isinstance(option.get("seeds", 1), int)
]  # fmt: skip


@pytest.mark.parametrize("option", OF_THE_COMMAND_LINE, ids=str)
@pytest.mark.parametrize("table", tables.names())
def test_the_printed_command_is_one_that_the_command_line_takes(table, option, monkeypatch):
    request, taken = requested(table, option), {}
    monkeypatch.setattr(
        reproducing, "through_notebook", lambda table, asked, *_, **__: taken.update(asked)
    )
    words = shlex.split(tables.command(table, request))
    cli.app(args=words[1:], standalone_mode=False)
    assert tables.plan(table, **taken) == tables.plan(table, **request)


@pytest.mark.parametrize("table", ["table1", "table3", "gala", "grid"])
def test_the_commands_of_a_page_make_the_runs_that_it_shows(table, monkeypatch):
    taken = {}
    monkeypatch.setattr(
        reproducing, "through_notebook", lambda _, asked, *__, **___: taken.update(asked)
    )
    cells = tables.fill(table, {"dataset": None}).cells
    parts = [part for _, part in cells[cells["n"] > 0].groupby(list(rendering.BLOCK))]
    assert parts
    for part in parts:
        taken.clear()
        text = tables.commands(table, {"this": part})
        first = next(line for line in text.splitlines() if line.startswith("lt-core"))
        cli.app(args=shlex.split(first)[1:], standalone_mode=False)
        made = {config.key for config in tables.plan(table, **taken)}
        assert made >= {key for keys in part["keys"] for key in keys}
        assert table == "grid" or made == {key for keys in part["keys"] for key in keys}


def test_a_page_of_records_trains_nothing():
    page = tables.fill("table3", {"dataset": None, "seeds": 3})
    assert page.unfinished is None
    assert set(page.cells["dataset"]) == {*tables.get("table3").datasets, "imagenet_lt"}
    assert len(page.main[list(rendering.BLOCK)].drop_duplicates()) <= 1
    assert page.metrics["cells"] == len(page.cells)


def test_a_page_shows_what_there_is_and_keeps_what_stopped_it(tmp_path, monkeypatch):
    def stopped(plan, store, **_):
        stores.add_run(tmp_path, plan[0].key)
        raise Unfinished("no time is left")

    monkeypatch.setattr(training, "reproduce", stopped)
    request = {"dataset": "digits", "methods": ["softmax", "focal"]}
    page = tables.fill("table1", request, tmp_path, quick=True)
    assert "no time is left" in str(page.unfinished)
    assert page.cells[["method", "n"]].to_numpy().tolist() == [["softmax", 1], ["focal", 0]]
    assert set(page.cells["planned"]) == {2}  # the quick size
    assert page.differences == {}


SMALLEST = {"dataset": "digits", "imbalance_factors": [1.0], "seeds": 1, "epochs": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "asked"),
    [
        ("table1", {"methods": ["class_balanced"], "overrides": {"flip": "true"}}),
        ("gala", {"methods": ["gala+rebalance"], "precision": "bfloat16"}),
        ("table3", {"methods": "icb[intra,ura],softmax", "imbalance_factors": [100.0]}),
        ("grid", {"methods": ["ldam+rebalance"]}),
    ],
)
def test_the_notebook_makes_the_least_that_can_be_asked_for(table, asked, tmp_path):
    """As ``lt-core reproduce TABLE`` does, on digits, one epoch long."""
    text = reproducing.through_notebook(table, SMALLEST | asked, tmp_path, processes=1)
    assert "REDUCED" in text
    rows = listed(asked["methods"])
    assert all(f"\n{row} " in text for row in rows)
    assert len(runs.load(tmp_path)) == len(rows)
    executed = notebooks.finished(tmp_path / f"reproduce_{table}.ipynb")
    assert executed["parameters"]["methods"] == rows
    assert executed["parameters"]["table"] == table


@pytest.mark.slow
@pytest.mark.parametrize("page", ["icb_tables", "gala_tables"])
def test_a_page_of_the_records_says_nothing_of_a_factor_that_was_not_run(page, tmp_path):
    path = reproducing.notebook_path().with_name(f"{page}.ipynb")
    notebooks.run(path, tmp_path / "page.ipynb", {"factor": 7})


def test_the_notebook_takes_what_the_command_offers():
    """Every option of ``lt-core reproduce`` that says which runs is a parameter of the notebook."""
    declared = notebooks.parameters_of(reproducing.notebook_path())
    asked = SMALLEST | {"table": "gala"}
    asked |= {"methods": ["softmax"], "model": "resnet32", "precision": "bfloat16"}
    asked |= {"overrides": {}, "holdout": 5}
    assert asked.keys() | {"store", "resources"} <= declared.keys()


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "tinyimagenet32"])
@pytest.mark.parametrize("table", tables.names())
def test_the_notebook_makes_the_runs_that_its_command_plans(table, dataset):
    declared = notebooks.parameters_of(reproducing.notebook_path())
    by_default = {
        name: parameter.default
        for name, parameter in declared.items()
        if name in inspect.signature(tables.plan).parameters and name not in ("table", "dataset")
    }
    assert tables.plan(table, dataset, **by_default) == tables.plan(table, dataset)


def test_the_records_of_digits_hold_every_run_of_the_quick_table():
    plan = tables.plan("table1", "digits")
    shown = tables.cells(committed().runs, "table1", plan)
    assert (shown["n"] == 3).all()
    assert {key for keys in shown["keys"] for key in keys} == {config.key for config in plan}


@pytest.fixture
def made(monkeypatch):
    plans = []
    monkeypatch.setattr(training, "reproduce", lambda plan, *_, **__: plans.append(plan))
    return plans


def test_the_runs_of_all_tables_need_no_notebook(made, tmp_path):
    request = {"dataset": "cifar10", "model": "resnet_rehearsal", "seeds": 1, "epochs": 40}
    text = reproducing.through_notebook("all", request, tmp_path, processes=1)
    assert made == [tables.plan_all(**request)]
    assert text == f"all {len(made[0])} runs are in {tmp_path}"
    with pytest.raises(ConfigError, match="output: 'all' has no notebook"):
        reproducing.through_notebook("all", request, tmp_path, tmp_path / "x.ipynb")


@pytest.mark.parametrize("dataset", ["digits", "tinyimagenet", "cifar_10"])
def test_data_that_nothing_wants_are_refused(made, tmp_path, dataset):
    with pytest.raises(ConfigError, match="unknown data set of 'all'"):
        reproducing.directly("all", {"dataset": dataset}, tmp_path)
    assert made == []


def test_a_run_that_was_set_aside_is_named_below_the_table(made, tmp_path):
    (config,) = tables.plan("table1", "digits", [100], ["softmax"], seeds=1)
    stores.add_run(tmp_path, config.key)
    stores.edited(stores.add_run(tmp_path, "f" * 16).path, lambda result: result.update(key="e"))
    request = {"methods": "softmax", "imbalance_factors": [100], "seeds": 1}
    text = reproducing.directly("table1", request, tmp_path)
    assert "softmax  60.0 (n=1)" in text
    assert f"\nset aside, not counted: {tmp_path / ('f' * 16)}" in text
