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


def test_records_in_full_give_the_cells_of_their_plan():
    plan = tables.plan("gala", seeds=2)
    frame = records(plan)
    frame["params"] = [json.dumps(config.params) for config in plan]
    frame["recipe_numbers"] = [json.dumps(config.resolved_recipe().numbers()) for config in plan]
    pd.testing.assert_frame_equal(tables.cells(frame, "gala"), tables.cells(frame, "gala", plan))


# differences


def balanced() -> pd.DataFrame:
    methods = ["softmax", "class_balanced", "effective_number", "focal", "gala"]
    plan = tables.plan("table1", "digits", [10, 1], methods)
    noise = {config.key: (7 * i % 5) / 10 for i, config in enumerate(plan)}
    shown = tables.cells(records(plan, lambda c: 60 + c.seed + noise[c.key]), "table1", plan)
    return shown[shown["imbalance_factor"] == 1]


def test_rows_without_runs_of_their_own_do_not_change_a_difference():
    shown = balanced()
    assert shown.set_index("method")["borrowed"].to_dict() == {
        "softmax": False, "class_balanced": True, "effective_number": True,
        "focal": False, "gala": False, "gala+rebalance": False,
    }  # fmt: skip
    own = shown[~shown["borrowed"] & ~shown["rebalanced"]]
    found = tables.differences(shown, 1)
    pd.testing.assert_frame_equal(found, tables.differences(own, 1))
    assert set(found.index) == {"focal", "gala"}
    assert found["p"].notna().all()
    text = tables.significance(found)
    for name in ("class_balanced", "effective_number", "gala+rebalance"):
        assert f"`{name}`" in text.partition("Not tested")[2]
    assert "Not tested" not in tables.significance(tables.differences(own, 1))


def test_methods_of_several_experiments_are_not_compared():
    plan = paper_plan() + paper_plan(epochs=5)
    shown = tables.cells(records(plan), "table1", plan)
    with pytest.raises(ConfigError, match="differ in epochs"):
        tables.differences(shown, 100)
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
