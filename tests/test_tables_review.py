"""What stands in a table, and what is compared, when the store holds more than its runs."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from made_up_records import records

from lt_core import losses, tables
from lt_core.errors import ConfigError
from lt_core.training import RunConfig, recipes


def paper_plan(methods=("softmax", "focal"), **arguments) -> list[RunConfig]:
    return tables.plan("table1", "cifar10", [100], methods, **arguments)


def test_coverage_when_none_of_the_papers_cells_has_run():
    assert tables.coverage(tables.cells(pd.DataFrame(), "table1")) == (
        "0 of 96 published cells were run in full: 0 agree, 0 differ, 0 no verdict."
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 5},
        {"overrides": {"learning_rate": 0.2}},
        {"holdout": 10},
        {"classifier": "cosine"},
    ],
)
def test_another_experiment_takes_no_cell_of_the_paper_away(changed):
    runs = [RunConfig("cifar10", "softmax", 100, seed=seed, **changed) for seed in range(2)]
    frame = tables.cells(records(runs), "table1")
    in_paper = frame[frame["method"].isin(tables.published("table1")["method"])]
    in_paper = in_paper[in_paper["full"]]
    places = in_paper[["dataset", "imbalance_factor", "method"]].drop_duplicates()
    assert len(places) == 96
    assert frame["paper"].notna().sum() == 96
    assert tables.coverage(frame).startswith("0 of 96")


def test_runs_evaluated_on_held_out_images_stand_in_no_table():
    runs = [RunConfig("cifar10", "softmax", 100, seed=seed, holdout=10) for seed in range(2)]
    frame = tables.cells(records(runs), "table1")
    assert frame["n"].sum() == 0
    assert (frame["holdout"] == 0).all()


def test_runs_made_under_other_defaults_of_a_loss_are_never_averaged():
    frame = records(paper_plan(["focal"], seeds=2))
    today = {"reduction": "mean", **losses.defaults("focal")}
    frame["params"] = [json.dumps(today), json.dumps({**today, "gamma": today["gamma"] + 1})]
    cells = tables.cells(frame, "table1")
    assert cells.loc[cells["n"] > 0, ["method", "n"]].to_numpy().tolist() == [["focal", 1]]
    assert cells["mean"].max() == frame["top1"].iloc[0]
    frame["params"] = ""  # records from before the column
    assert tables.cells(frame, "table1")["n"].max() == 2


def test_runs_made_under_other_numbers_of_a_recipe_are_never_averaged():
    frame = records(paper_plan(["focal"], seeds=2))
    today = recipes.get("ldam_drw").numbers()
    frame["recipe_numbers"] = [json.dumps(today), json.dumps({**today, "learning_rate": 0.3})]
    cells = tables.cells(frame, "table1")
    cells = cells[cells["n"] > 0]
    assert list(cells["n"]) == [1, 1]
    assert sorted(cells["overrides"]) == ["", "learning_rate=0.3"]
    assert sorted(cells["full"]) == [False, True]


@pytest.mark.parametrize(
    "changed",
    [{"batch_size": 2048}, {"batch_size": 1}, {"milestones": [1, 2, 3]}, {"warmup_epochs": 0}],
)
def test_numbers_that_todays_digits_would_refuse_are_named_like_any_other(changed):
    plan = paper_plan(["icb"], seeds=2)
    today = recipes.get("ldam_drw").numbers()
    frame = records(plan)
    frame["recipe_numbers"] = json.dumps({**today, **changed})
    cells = tables.cells(frame, "table1")
    cells = cells[cells["n"] > 0]
    ((name, value),) = changed.items()
    value = tuple(value) if isinstance(value, list) else value
    assert cells[["method", "n", "overrides", "full"]].to_numpy().tolist() == [
        ["icb", 2, f"{name}={value}", False]
    ]
    assert f"changed: {name}={value};" in str(tables.render(cells))


def test_parameters_for_other_numbers_of_classes_belong_to_no_row():
    frame = records(paper_plan(["seesaw"], seeds=2))
    params = {"reduction": "mean", **losses.defaults("seesaw"), "initial_counts": [5] * 100}
    frame["params"] = json.dumps(params)
    shown = tables.cells(frame, "table1")
    assert shown["n"].sum() == 0  # no row of the table, and never averaged with one


@pytest.mark.parametrize("column", ["params", "recipe_numbers"])
@pytest.mark.parametrize(
    "text", ["not JSON", "[1, 2]", "3", "null", '{"gone": 1}', '{"bins": "x"}']
)
def test_what_are_no_numbers_makes_an_experiment_of_its_own(column, text):
    frame = records(paper_plan(["icb"], seeds=2))
    frame[column] = ["", text]
    cells = tables.cells(frame, "table1")
    assert cells["n"].max() == 1  # never averaged with the other run
    tables.render(cells)


def test_records_in_full_give_the_cells_of_their_plan():
    plan = tables.plan("gala", seeds=2)
    frame = records(plan)
    frame["params"] = [json.dumps(config.params) for config in plan]
    frame["recipe_numbers"] = [json.dumps(config.resolved_recipe().numbers()) for config in plan]
    pd.testing.assert_frame_equal(tables.cells(frame, "gala"), tables.cells(frame, "gala", plan))


# differences


def test_rows_without_runs_of_their_own_do_not_change_a_difference():
    plan = tables.plan("table1", "digits", [1], ["softmax", "class_balanced", "focal", "gala"])
    noise = {config.key: (7 * i % 5) / 10 for i, config in enumerate(plan)}
    shown = tables.cells(records(plan, lambda c: 60 + c.seed + noise[c.key]), "table1", plan)
    own = shown[~shown["rebalanced"]]
    found = tables.differences(shown, 1)
    pd.testing.assert_frame_equal(found, tables.differences(own, 1))
    assert set(found.index) == {"class_balanced", "focal", "gala"}
    assert found["p"].notna().all()
    assert "`gala+rebalance`" in tables.significance(found).partition("Not tested")[2]
    assert "Not tested" not in tables.significance(tables.differences(own, 1))


def test_a_method_without_a_seed_in_common_is_named_and_not_compared():
    plan = tables.plan("table1", "digits", [100], ["softmax", "focal"], seeds=3)
    plan += tables.plan("table1", "digits", [100], ["icb"], seeds=[7, 8, 9])
    noise = {config.key: (3 * i % 7) / 10 for i, config in enumerate(plan)}
    shown = tables.cells(records(plan, lambda c: 60 + noise[c.key]), "table1", plan)
    found = tables.differences(shown, 100)
    assert list(found.index) == ["focal"]
    text = tables.significance(found)
    assert text.endswith("Not tested, having no seed in common with `softmax`: `icb`.")
    nothing = tables.significance(tables.differences(shown[shown["method"] != "focal"], 100))
    assert "need runs of it and of another method, with a seed in common" in nothing
    assert "`icb`" in nothing
    absent = tables.significance(tables.differences(shown, 100, "gala"), "gala")
    assert absent.startswith("There is nothing to test by: differences from `gala` need runs")


def test_methods_of_several_experiments_are_not_compared():
    plan = paper_plan() + paper_plan(epochs=5)
    shown = tables.cells(records(plan), "table1", plan)
    for compare in (tables.differences, tables.ranking, tables.trade):
        with pytest.raises(ConfigError, match="differ in epochs"):
            compare(shown, 100)
    assert len(tables.differences(shown[shown["full"]], 100)) == 1


# labels


def test_a_method_with_both_classifiers_has_two_rows():
    plan = [
        RunConfig("digits", "softmax", 100, classifier=classifier, seed=seed)
        for classifier in ("linear", "cosine")
        for seed in range(2)
    ]
    shown = tables.cells(records(plan), "table1", plan)
    [(_, block)] = tables.render(shown).blocks
    assert sorted(block["method"]) == ["softmax", "softmax (cosine)"]
    assert list(tables.differences(shown, 100).index) == ["softmax (cosine)"]
    usual = tables.plan("table1", "digits", [100], ["ldam"], seeds=1)  # takes cosines
    assert list(tables.cells(records(usual), "table1", usual)["method"]) == ["ldam"]
