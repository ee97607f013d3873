"""Every table with every option, from plan to page: whatever is asked for is planned and shown."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
from made_up_records import records

from lt_core import parameters, tables
from lt_core.errors import ConfigError
from lt_core.tables import pages
from lt_core.training import RunConfig

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
    main = tables.fullest(shown)
    for cells in (shown, pages.with_company(main)):
        made = [tables.render(cells), tables.render_groups(cells)]
        made += [tables.render_cost(cells, found), tables.render_trace(tables.trace(cells))]
        assert "nan" not in " ".join(map(str, made)) + " ".join(table.html for table in made)
        sentences = [tables.coverage(cells), tables.flattery(cells)]
        sentences += [tables.provenance(cells, found)]
        assert "nan" not in " ".join(sentences)
        assert all(np.isfinite(value) for value in tables.means(tables.fullest(cells)).values())
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
    from lt_core import cli
    from lt_core.book import reproduction

    request, taken = requested(table, option), {}
    monkeypatch.setattr(
        reproduction, "notebook", lambda table, asked, *_, **__: taken.update(asked)
    )
    words = shlex.split(tables.command(table, request))
    cli.app(args=words[1:], standalone_mode=False)
    assert tables.plan(table, **taken) == tables.plan(table, **request)


@pytest.mark.parametrize("name", ["dataset", "imbalance_factors", "methods", "seeds", "recipe"])
@pytest.mark.parametrize("nothing", [[], (), "", ","])
def test_a_list_of_nothing_is_refused(name, nothing):
    with pytest.raises(ConfigError, match=f"{name}: expected at least one, got"):
        tables.plan("table1", **{"dataset": "digits", name: nothing})


@pytest.mark.parametrize("seeds", [None, True, 1.5, "two", 0, -3, 10**9, float("nan")])
def test_seeds_are_a_number_of_runs_or_a_list(seeds):
    with pytest.raises(ConfigError, match="seeds: expected"):
        tables.plan("table1", "digits", seeds=seeds)


def test_a_row_with_other_parameters_keeps_its_name_beside_the_tables_own():
    plan = tables.plan("table1", "digits", [10], ["ldam"], seeds=2)  # with weighted means
    plan += [RunConfig("digits", "ldam", 10, seed=seed) for seed in range(2)]
    shown = tables.cells(records(plan), "table1", plan)
    assert list(shown["method"]) == ["ldam", "ldam (defaults)"]
    assert len(tables.differences(shown, 10, "ldam")) == 1
    assert "ldam (defaults)" in str(tables.render(shown))
