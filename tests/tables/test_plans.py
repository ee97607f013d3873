"""The runs behind a table, and its published numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from lt_core import tables
from lt_core.errors import ConfigError, LtError


def test_published_numbers_are_complete():
    table = tables.published("table1")
    assert len(table) == 3 * 4 * 8
    assert table["top1"].between(0, 100).all()
    papers = {row.label for row in tables.get("table1").rows if not row.added}
    assert set(table["method"]) == papers - {"gala", "gala+rebalance"}
    assert table.set_index(["dataset", "imbalance_factor", "method"])["top1"][
        ("cifar100", 100, "icb")
    ] == pytest.approx(41.59)
    for name in ("table2", "table3", "gala"):
        assert len(tables.published(name))
    table["top1"] = 0  # of a copy
    assert tables.published("table1")["top1"].gt(0).all()


def test_every_published_row_of_a_table_can_be_shown():
    for name in ("table3", "gala"):
        labels = {row.published for row in tables.get(name).rows}
        assert set(tables.published(name)["method"]) - labels <= {"gcl"}


def test_quick_table1_is_81_runs_and_36_beyond_the_papers():
    plan = tables.plan("table1", dataset="digits", seeds=3)
    assert len(plan) == len({config.key for config in plan}) == 81 + 36
    added = {row.method for row in tables.get("table1").rows if row.added}
    assert added == {"ldam", "balanced_softmax", "logit_adjustment", "gcl"}
    assert sum(config.method in added for config in plan) == 3 * 3 * 4
    papers = tables.plan("table1", dataset="cifar10", seeds=3)
    assert not added & {config.method for config in papers}
    assert {config.imbalance_factor for config in plan} == {100, 10, 1}
    assert {config.seed for config in plan} == {0, 1, 2}
    assert "gala" in {config.method for config in plan}  # once: +rebalance needs no run
    assert {config.recipe for config in plan} == {"digits"}


def test_a_plan_begins_with_the_most_important():
    plan = tables.plan("table1", dataset="cifar10", methods=["softmax", "focal"], seeds=2)
    order = [(config.imbalance_factor, config.seed, config.method) for config in plan]
    assert order[:4] == [
        (100, 0, "softmax"), (100, 0, "focal"), (100, 1, "softmax"), (100, 1, "focal")
    ]  # fmt: skip
    assert order[4][0] == 500


@pytest.mark.parametrize(
    ("table", "about", "rows"),
    [
        (
            "gala",
            {"seeds": [5]},
            {("softmax", ""), ("gala", ""), ("gala", "variant=released")},
        ),
        (
            "table3",
            {"dataset": "cifar100", "seeds": [5]},
            {
                *{("softmax", ""), ("icb", "intra=False"), ("icb", "density=uniform,inter=False")},
                *{("icb", "density=uniform"), ("icb", ""), ("seesaw", "q=0"), ("seesaw", "")},
            },
        ),
    ],
)
def test_a_table_runs_the_forms_that_it_compares(table, about, rows):
    plan = tables.plan(table, **about)
    assert {(config.method, config.variant) for config in plan} == rows
    assert {config.seed for config in plan} == {5}
    factors = dict.fromkeys(config.imbalance_factor for config in plan)
    assert tuple(factors) == tables.get(table).factors
    assert len(plan) == len(rows) * len(factors)


def test_full_table1_is_the_papers_size_and_the_grid_crosses_losses_and_recipes():
    plan = tables.plan("table1", seeds=1)
    assert len(plan) == 3 * 4 * 9
    assert {(config.recipe, config.epochs) for config in plan} == {("ldam_drw", 200)}
    plan = tables.plan("grid", dataset="cifar100", seeds=1)
    assert len(plan) == 8 * 2
    assert {config.recipe for config in plan} == {"ldam_drw", "gala"}


def test_the_runs_of_all_tables_begin_with_factor_100_and_end_with_balanced_data():
    plan = tables.plan_all()
    first, last = plan[0], plan[-1]
    assert (first.dataset, first.imbalance_factor, first.method) == ("cifar10", 100, "softmax")
    assert last.imbalance_factor == 1
    anew = [config for config in plan if config.subset_seed]
    assert {(config.seed, config.subset_seed) for config in anew} == {(k, k) for k in range(1, 5)}
    few = tables.plan_all(model="resnet_rehearsal", epochs=3, seeds=1)
    assert {config.key for config in few}.isdisjoint(config.key for config in plan)
    assert {config.seed for config in few if not config.subset_seed} == {0}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"imbalance_factors": "100,10"}, {"imbalance_factors": [100, 10]}),
        ({"imbalance_factors": "[100, 10]"}, {"imbalance_factors": [100, 10]}),
        ({"imbalance_factors": "100"}, {"imbalance_factors": [100]}),
        ({"methods": "icb[intra,ura],softmax"}, {"methods": ["icb[intra,ura]", "softmax"]}),
        ({"methods": "['softmax', 'icb']"}, {"methods": ["softmax", "icb"]}),
        ({"methods": "[softmax, icb[intra,ura]]"}, {"methods": ["softmax", "icb[intra,ura]"]}),
        ({"seeds": "2"}, {"seeds": 2}),
        ({"seeds": 2.0}, {"seeds": 2}),
        ({"seeds": "0, 3"}, {"seeds": [0, 3]}),
        ({"epochs": "4"}, {"epochs": 4}),
    ],
    ids=str,
)
def test_text_is_planned_as_what_it_says(given, meant):
    whole = {"dataset": "digits", "imbalance_factors": [100], "methods": ["softmax"], "seeds": 1}
    planned = tables.plan("table3", **whole | given)
    assert planned == tables.plan("table3", **whole | meant)
    assert planned


def test_factors_that_would_empty_a_class_are_not_planned_by_default():
    plan = tables.plan("table3", dataset="tinyimagenet32", seeds=1)
    assert {config.imbalance_factor for config in plan} == {100}
    plan = tables.plan("table1", dataset="tinyimagenet32", methods="softmax", seeds=1)
    assert {config.imbalance_factor for config in plan} == {100, 10, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "tabel1"}, "did you mean 'table1'"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
        ({"methods": ["sofmax"]}, "did you mean 'softmax'"),
        ({"methods": "softmax,icbb"}, "did you mean 'icb'"),
        ({"recipe": "ldam"}, "ldam_drw"),
        ({"precision": "float16"}, "bfloat16"),
        ({"imbalance_factors": [0.01]}, "imbalance_factor"),
        ({"imbalance_factors": [500]}, "without an image"),
        ({"imbalance_factors": "ten"}, "imbalance_factor"),
        ({"seeds": [-1]}, "seed"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_bad_plans_are_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        tables.plan(**{"table": "table1", "dataset": "digits"} | arguments)
    assert "\n" not in str(error.value)


def test_unknown_tables_are_refused_everywhere():
    for call in (tables.published, tables.rows, tables.get):
        with pytest.raises(ConfigError, match="unknown"):
            call("table9")
    with pytest.raises(LtError):
        tables.cells(pd.DataFrame(), "table9")


@pytest.mark.parametrize("name", ["dataset", "imbalance_factors", "methods", "seeds", "recipe"])
@pytest.mark.parametrize("nothing", [[], (), "", ","])
def test_a_list_of_nothing_is_refused(name, nothing):
    with pytest.raises(ConfigError, match=f"{name}: expected at least one, got"):
        tables.plan("table1", **{"dataset": "digits", name: nothing})


@pytest.mark.parametrize("seeds", [None, True, 1.5, "two", 0, -3, 10**9, float("nan")])
def test_seeds_are_a_number_of_runs_or_a_list(seeds):
    with pytest.raises(ConfigError, match="seeds: expected"):
        tables.plan("table1", "digits", seeds=seeds)
    if seeds is not None:  # there: as many as the table wants
        with pytest.raises(ConfigError, match="seeds: expected"):
            tables.plan_all(seeds=seeds)
