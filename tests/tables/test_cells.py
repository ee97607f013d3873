"""From records to cells, on records made up so that every number is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import stores
from made_up_records import full_and_short, of_the_paper, records

from lt_core import losses, plots, tables
from lt_core.errors import ConfigError
from lt_core.runs.records import of_store
from lt_core.tables import filling, summary
from lt_core.training import RunConfig, recipes


def cell(frame: pd.DataFrame, method: str, factor: float = 100) -> pd.Series:
    found = frame[(frame["method"] == method) & (frame["imbalance_factor"] == factor)]
    assert len(found) == 1
    return found.iloc[0]


def test_cell_by_hand():
    plan = tables.plan("table1", "digits", [100], ["softmax", "gala"], seeds=3)
    frame = tables.cells(records(plan), "table1", plan)
    assert list(frame["method"]) == ["softmax", "gala", "gala+rebalance"]
    row = cell(frame, "softmax")
    assert (row["n"], row["planned"]) == (3, 3)
    assert row["mean"] == pytest.approx(71.0)
    assert row["sd"] == pytest.approx(1.0)
    assert row["mean_best"] == pytest.approx(71.5)
    assert (row["many"], row["few"]) == (90.0, pytest.approx(31.0))
    assert np.isnan(row["medium"])  # an empty group, not 0
    assert (row["pooled_sd"], row["df"]) == (pytest.approx(1.0), 4)  # the re-balanced row not again
    assert row["high"] - row["mean"] == pytest.approx(2.776445 * np.sqrt(4 / 3), rel=1e-5)
    assert set(row["keys"]) == {config.key for config in plan if config.method == "softmax"}
    assert cell(frame, "gala+rebalance")["mean"] == pytest.approx(72.5)
    assert cell(frame, "gala+rebalance")["few"] == pytest.approx(50.0)


def test_runs_stand_in_the_order_of_their_seeds():
    plan = tables.plan("table1", "digits", [100], ["softmax"], seeds=[2, 0, 1])
    row = cell(tables.cells(records(plan), "table1", plan), "softmax")
    assert list(row["seeds"]) == [0, 1, 2]
    assert list(row["keys"]) == [plan[1].key, plan[2].key, plan[0].key]


def test_only_planned_runs_count():
    plan = tables.plan("table1", "digits", [100], ["softmax"], seeds=2)
    others = tables.plan("table1", "digits", [100], ["softmax"], seeds=[2, 3])
    others += tables.plan("table1", "digits", [100], ["softmax"], seeds=2, epochs=1)
    others += tables.plan("table1", "digits", [100], ["softmax"], seeds=2, precision="bfloat16")
    row = cell(tables.cells(records(plan + others), "table1", plan), "softmax")
    assert row["n"] == 2
    assert row["mean"] == pytest.approx(70.5)


def test_runs_that_differ_in_anything_but_the_seed_are_never_averaged():
    plan = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2)
    plan += tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2, epochs=5)
    plan += tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2, subset_seed=1)
    frame = tables.cells(records(plan), "table1")
    frame = frame[(frame["method"] == "softmax") & (frame["n"] > 0)]
    assert list(frame["n"]) == [2, 2, 2]
    assert sorted(frame["full"]) == [False, True, True]


def test_empty_store_gives_no_run():
    plan = tables.plan("table1", "digits", [100], ["softmax", "gala"], seeds=3)
    frame = tables.cells(pd.DataFrame(), "table1", plan)
    assert list(frame["n"]) == [0, 0, 0]
    assert frame["mean"].isna().all()
    assert set(frame["verdict"]) == {"not run"}
    text = str(tables.render(frame))
    assert text == (
        "Not run: all 3 rows on handwritten digits, resnet_digits, 30 epochs at factor 100."
    )
    assert "nan" not in text


def test_one_of_three_seeds_failed():
    plan = tables.plan("table1", "digits", [100], ["softmax"], seeds=3)
    frame = tables.cells(records(plan[:2]), "table1", plan)
    assert (cell(frame, "softmax")["n"], cell(frame, "softmax")["planned"]) == (2, 3)
    assert "(n=2/3)" in str(tables.render(frame))


def test_a_run_is_counted_once():
    plan = tables.plan("table1", "digits", [100], ["softmax"], seeds=2)
    twice = pd.concat([records(plan), records(plan)])
    assert cell(tables.cells(twice, "table1", plan), "softmax")["n"] == 2


def test_data_sets_stand_in_the_tables_order_however_records_came():
    plan = tables.plan("table3", ["digits", "tinyimagenet32", "cifar100"], [100], seeds=1)
    order = pd.unique(tables.cells(records(plan), "table3", plan)["dataset"])
    assert list(order) == ["cifar100", "tinyimagenet32", "digits"]
    short = {"model": "resnet_rehearsal", "seeds": 1}
    plan = [c for n in (40, 5) for c in tables.plan("table3", "cifar100", [100], epochs=n, **short)]
    assert list(pd.unique(tables.cells(records(plan), "table3", plan)["epochs"])) == [5, 40]


def test_records_without_a_column_are_shown_beside_planned_cells():
    plan = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=1)
    shown = tables.cells(records(plan).drop(columns="precision"), "table1")
    assert shown["n"].sum() == 1


def test_records_from_a_file_are_the_records(tmp_path):
    plan = tables.plan("table3", "cifar100", [100], seeds=2)
    records(plan).to_csv(tmp_path / "table3.csv", index=False)
    loaded = pd.read_csv(tmp_path / "table3.csv")
    pd.testing.assert_frame_equal(
        tables.cells(loaded, "table3"), tables.cells(records(plan), "table3"), check_dtype=False
    )


def test_accuracy_by_class_is_read_from_the_runs_behind_the_cells(tmp_path):
    plan = tables.plan("table1", "digits", [100], ["softmax", "gala"], seeds=2)
    for config in plan[:3]:  # the last run, gala's second, is missing
        stores.add_run(tmp_path, config.key, method=config.method, seed=config.seed)
    frame = tables.cells(records(plan[:3]), "table1", plan)
    results = of_store(tmp_path)
    counts, accuracy = tables.by_class(frame, 100, results.classes)
    assert counts.tolist() == [100, 10, 1]
    assert {name: len(values) for name, values in accuracy.items()} == {
        "softmax": 2,
        "gala": 1,
        "gala+rebalance": 1,
    }
    assert accuracy["gala"][0].tolist() == [0.9, 0.5, 0.1]
    assert accuracy["gala+rebalance"][0].tolist() == [0.8, 0.6, 0.3]
    assert tables.by_class(frame, 10, results.classes)[1] == {}


def test_at_factor_1_every_row_is_of_its_own_runs():
    plan = tables.plan("table1", "digits", [1])
    accuracy = {config.key: 60 + 2.5 * i for i, config in enumerate(plan)}
    result = tables.cells(records(plan, lambda c: accuracy[c.key]), "table1", plan)
    assert set(result["method"]) == set(tables.rows("table1"))
    own = result[~result["rebalanced"]]
    assert (own["n"] == 3).all()
    for _, row in own.iterrows():
        assert row["mean"] == np.mean([accuracy[key] for key in row["keys"]])
    assert own["keys"].explode().is_unique
    alone = tables.plan("table1", "digits", [1], ["class_balanced"], seeds=2)
    assert [config.method for config in alone] == ["class_balanced"] * 2
    shown = tables.cells(records(alone), "table1", alone)
    assert "class_balanced  70.5" in str(tables.render(shown))


def test_a_row_after_rebalancing_is_judged_by_the_scatter_after_rebalancing():
    """GALA at factor 100, three runs: they scatter by .1 as trained and by 1 re-balanced."""
    plan = tables.plan("gala", "cifar100", [100], ["softmax", "gala"])
    frame = records(plan, lambda config: 49.0 + 0.1 * config.seed)
    frame["top1_rebalanced"] = 50.0 + 1.0 * frame["seed"]
    frame["top1_best"] = 60.0 + 2.0 * frame["seed"]
    result = tables.cells(frame, "gala", plan).set_index("method")
    for name, sd in (("gala", 0.1), ("gala+rebalance", 1.0)):
        row = result.loc[name]
        assert (row["sd"], row["pooled_sd"]) == (pytest.approx(sd), pytest.approx(sd))
        assert row["df"] == 4  # softmax and GALA, three runs each
        half = 2.776445 * sd * np.sqrt(4 / 3)
        assert (row["low"], row["high"]) == (
            pytest.approx(row["mean"] - half), pytest.approx(row["mean"] + half)
        )  # fmt: skip
    assert result.loc["gala+rebalance", "paper"] == 52.3  # within 51 +- 3.2, outside 51 +- .32
    assert result.loc["gala+rebalance", "verdict"] == "agrees"
    assert result.loc["gala+rebalance", "verdict_best"] == "no verdict (best epoch unknown)"


def test_a_loss_of_your_own_gets_a_row():
    plan = tables.plan("table1", "digits", [100], ["softmax", "ldam"], seeds=1)
    plan.append(RunConfig("digits", "focal", 100, params={"gamma": 2}))
    result = tables.cells(records(plan), "table1", plan)
    assert list(result["method"]) == ["softmax", "ldam", "focal[gamma=2]"]
    assert set(tables.rows()) >= set(losses.names())


# beside the paper


@pytest.mark.parametrize(
    ("about", "verdict"),
    [
        ({}, "agrees"),
        ({"offset": 3.0}, "differs"),
        ({"seeds": 1}, "no verdict (n = 1)"),
        ({"dataset": "digits"}, "no verdict (other data)"),
        ({"dataset": "tinyimagenet32"}, "no verdict (other data)"),
        ({"epochs": 40}, "no verdict (40 of 200 epochs)"),
        ({"recipe": "gala"}, "no verdict (other recipe)"),
        ({"model": "resnet_rehearsal"}, "no verdict (other network)"),
    ],
    ids=str,
)
def test_a_verdict_is_given_beside_the_papers_own_experiment_only(about, verdict):
    plan, frame = of_the_paper(**{"methods": ("softmax", "gala"), **about})
    frame["top1_best"] = frame["top1"] + 5
    found = tables.cells(frame, "table1", plan)
    row, beside = cell(found, "softmax"), about.keys() <= {"offset", "seeds"}
    assert row["verdict"] == verdict
    assert row["verdict_best"] == ("differs" if beside and "seeds" not in about else verdict)
    assert row["paper"] == 71.74 if beside else np.isnan(row["paper"])
    assert ("paper 100" in str(tables.render(found))) is beside
    other = "no verdict (no published number)"  # GALA is not in the poster's table
    assert (cell(found, "gala")["verdict"] == other) is ("dataset" not in about)


def test_a_changed_recipe_and_seeds_that_saw_different_images_have_no_verdict():
    changed = {"overrides": {"learning_rate": 0.2}}
    plan = [RunConfig("cifar10", "softmax", 100, seed=seed, **changed) for seed in range(3)]
    frame = records(plan)
    found = tables.cells(frame, "table1", plan)
    assert cell(found, "softmax")["verdict"] == "no verdict (other recipe)"
    assert "REDUCED" in str(tables.render(found))
    plan, frame = of_the_paper()
    frame["data_sha256"] = "ab"
    assert cell(tables.cells(frame, "table1", plan), "softmax")["paper"] == 71.74
    frame.loc[frame.index[0], "data_sha256"] = "cd"
    found = tables.cells(frame, "table1", plan)
    row, other = cell(found, "softmax"), cell(found, "focal")
    assert (row["n"], row["verdict"]) == (3, "no verdict (its seeds saw different images)")
    assert row[["sd", "low", "high"]].isna().all()
    assert other["df"] == 3  # two degrees of freedom of its own, one of the seeds with one set
    assert other["low"] < other["high"]


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"top1": 71.74}, "agrees"),
        ({"top1": 80.0}, "no verdict (several published numbers)"),
        ({"top1": 80.0, "model": "resnet18"}, "agrees"),
    ],
)
def test_a_number_published_twice_is_taken_if_it_is_one(monkeypatch, changed, verdict):
    plan, frame = of_the_paper()
    table = tables.published("table1")
    mine = table.query("dataset == 'cifar10' and imbalance_factor == 100 and method == 'softmax'")
    monkeypatch.setattr(summary, "published", lambda _: pd.concat([table, mine.assign(**changed)]))
    assert cell(tables.cells(frame, "table1", plan), "softmax")["verdict"] == verdict


def test_without_a_plan_every_cell_of_the_paper_is_listed():
    _, frame = of_the_paper()
    frame.loc[frame["method"] == "focal", "top1"] += 5
    result = tables.cells(frame, "table1")
    assert result["paper"].notna().sum() == 96
    assert result[result["paper"].notna()].groupby("dataset").size().to_dict() == {
        "cifar10": 32, "cifar100": 32, "tinyimagenet": 32
    }  # fmt: skip
    tiny = result[result["dataset"] == "tinyimagenet"]
    assert set(tiny["verdict"]) == {"not run"}
    assert tables.coverage(result) == (
        "2 of 96 cells with a published number were run in full: "
        "1 agrees with the paper, 1 differs."
    )
    result.loc[result["method"] == "focal", "verdict"] = "no verdict (n = 1)"
    assert tables.coverage(result).endswith(
        "1 agrees with the paper, 0 differ; 1 was run too seldom for a verdict."
    )


def test_released_gala_is_set_beside_the_same_published_number():
    plan = tables.plan("gala", imbalance_factors=[200])
    result = tables.cells(records(plan), "gala", plan)
    assert result.set_index("method")["paper"].dropna().to_dict() == {
        "gala": 48.0,
        "gala+rebalance": 48.5,
        "gala[released]": 48.0,
        "gala[released]+rebalance": 48.5,
    }


# a store that holds more than the table's runs


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
    assert frame["n"].sum() == (0 if "holdout" in changed else 2)  # those stand in no table
    in_paper = frame[frame["method"].isin(tables.published("table1")["method"])]
    in_paper = in_paper[in_paper["full"]]
    places = in_paper[["dataset", "imbalance_factor", "method"]].drop_duplicates()
    assert len(places) == 96
    assert frame["paper"].notna().sum() == 96
    assert tables.coverage(frame) == "None of the 96 cells with a published number was run in full."


def test_runs_made_under_other_defaults_of_a_loss_are_never_averaged():
    frame = records(tables.plan("table1", "cifar10", [100], ["focal"], seeds=2))
    today = {"reduction": "mean", **losses.defaults("focal")}
    frame["params"] = [json.dumps(today), json.dumps({**today, "gamma": today["gamma"] + 1})]
    cells = tables.cells(frame, "table1")
    assert cells.loc[cells["n"] > 0, ["method", "n"]].to_numpy().tolist() == [["focal", 1]]
    assert cells["mean"].max() == frame["top1"].iloc[0]
    frame["params"] = ""  # records from before the column
    assert tables.cells(frame, "table1")["n"].max() == 2


def test_runs_made_under_other_numbers_of_a_recipe_are_never_averaged():
    frame = records(tables.plan("table1", "cifar10", [100], ["focal"], seeds=2))
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
    plan = tables.plan("table1", "cifar10", [100], ["icb"], seeds=2)
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
    frame = records(tables.plan("table1", "cifar10", [100], ["seesaw"], seeds=2))
    params = {"reduction": "mean", **losses.defaults("seesaw"), "initial_counts": [5] * 100}
    frame["params"] = json.dumps(params)
    shown = tables.cells(frame, "table1")
    assert shown["n"].sum() == 0  # no row of the table, and never averaged with one


@pytest.mark.parametrize("column", ["params", "recipe_numbers"])
@pytest.mark.parametrize(
    "text", ["not JSON", "[1, 2]", "3", "null", '{"gone": 1}', '{"bins": "x"}']
)
def test_what_are_no_numbers_makes_an_experiment_of_its_own(column, text):
    frame = records(tables.plan("table1", "cifar10", [100], ["icb"], seeds=2))
    frame[column] = ["", text]
    cells = tables.cells(frame, "table1")
    assert cells["n"].max() == 1  # never averaged with the other run
    tables.render(cells)


def test_records_in_full_give_the_cells_of_their_plan():
    plan = tables.plan("gala", seeds=2)
    frame = records(plan)
    frame["params"] = [json.dumps(config.params) for config in plan]
    frame["recipe_numbers"] = [json.dumps(config.resolved_recipe().numbers()) for config in plan]
    found = tables.cells(frame, "gala")  # with the large sets, of which nothing was run
    found = found[found["dataset"] == "cifar100"]
    pd.testing.assert_frame_equal(found, tables.cells(frame, "gala", plan))


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


def test_a_row_with_other_parameters_keeps_its_name_beside_the_tables_own():
    plan = tables.plan("table1", "digits", [10], ["ldam"], seeds=2)  # with weighted means
    plan += [RunConfig("digits", "ldam", 10, seed=seed) for seed in range(2)]
    shown = tables.cells(records(plan), "table1", plan)
    assert list(shown["method"]) == ["ldam", "ldam (defaults)"]
    assert len(tables.differences(shown, 10, "ldam")) == 1
    assert "ldam (defaults)" in str(tables.render(shown))


# what pages take from cells


def test_the_fullest_block_has_the_most_runs_and_of_two_alike_the_full_recipe():
    shown, _ = full_and_short()
    assert set(tables.largest_experiment(shown)["epochs"]) == {
        5
    }  # gala's runs are reduced ones only
    softmax = shown[shown["method"] == "softmax"]
    assert set(tables.largest_experiment(softmax)["epochs"]) == {200}
    assert tables.largest_experiment(shown.assign(n=0)).empty


def test_every_row_of_a_table_is_covered_in_full_or_reduced_or_not():
    full = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2)
    small = {"seeds": 1, "model": "resnet_rehearsal"}  # reduced though it trains 200 epochs
    small = tables.plan("table1", "cifar10", [100], ["softmax", "focal", "ldam"], **small)
    counts = tables.covered(tables.cells(records([*full, *small]), "table1"))
    assert counts.loc["CIFAR-10, factor 100"].to_dict() == {
        "in full": 1, "reduced": 1, "not run": 8
    }  # fmt: skip
    assert counts.to_numpy().sum() == 3 * 4 * 10  # ldam is no row of the paper


@pytest.mark.parametrize("table", tables.names())
def test_a_chart_of_what_was_run_names_its_bars_in_full(table):
    labels = tables.covered(tables.cells(pd.DataFrame(), table)).index
    assert len(labels)
    named = [f"{table}: {label}" for label in labels]  # as the page of all tables does
    assert [label for label in named if plots.plain(label) != label] == []


@pytest.mark.parametrize(
    ("table", "dataset", "model", "other", "place"),
    [
        ("gala", "imagenet_lt", "resnext50", "resnet50", "the whole list"),
        ("gala", "places_lt", "resnet152", "resnet18", "the whole list"),
        ("table3", "imagenet_lt", "resnet50", "resnext50", "factor 100"),
        ("table2", "inaturalist2017", "resnet50", "resnet18", "the whole list"),
        ("table3", "cifar100", "resnet32", "resnet_rehearsal", "factor 100"),
    ],
)
def test_in_full_means_the_network_of_the_table(table, dataset, model, other, place):
    """Which need not be the data set's usual one."""
    factors = [100] if "100" in place else None
    for used, column in ((None, "in full"), (model, "in full"), (other, "reduced")):
        plan = tables.plan(table, dataset, factors, ["softmax"], seeds=1, model=used)
        counts = tables.covered(tables.cells(records(plan), table)).loc[
            f"{tables.title(dataset)}, {place}"
        ]
        assert counts[column] > 0, used
        assert counts[{"in full": "reduced", "reduced": "in full"}[column]] == 0


@pytest.mark.parametrize("table", ["table1", "table2", "table3", "gala"])
def test_every_row_of_a_table_is_counted_though_nothing_was_run(table):
    """Also those on images that stay on disk."""
    shown, entry = tables.cells(pd.DataFrame(), table), tables.get(table)
    counts = tables.covered(shown)
    assert counts["not run"].sum() == counts.to_numpy().sum()
    wanted = tables.plan(table, [*entry.datasets, *entry.large], seeds=1)
    steps = sum(row.rebalanced for row in entry.rows if not row.added)
    rows = sum(not row.added for row in entry.rows)
    assert counts.to_numpy().sum() == len(wanted) * rows // (rows - steps)
    assert set(shown["dataset"]) == {*entry.datasets, *entry.large}


def test_a_reduced_experiment_of_one_method_has_no_company_and_a_full_one_needs_none():
    shown, _ = full_and_short()  # of the full recipe there is softmax only
    alone = shown[(shown["method"] == "softmax") & (shown["epochs"] == 5)]
    kept = filling.with_company(pd.concat([shown, alone.assign(precision="bfloat16")]))
    pd.testing.assert_frame_equal(kept, shown)
    assert filling.with_company(shown.iloc[:0]).empty


def test_means_are_named_by_method_and_factor_where_there_are_runs():
    shown, _ = full_and_short()
    reduced = shown[shown["epochs"] == 5]
    assert set(tables.means(reduced)) == {"softmax@100", "gala@100", "gala+rebalance@100"}
    assert tables.means(reduced)["gala@100"] == reduced.set_index("method").loc["gala", "mean"]
    assert tables.means(shown.assign(n=0)) == {}


def test_means_of_two_data_sets_are_not_mixed():
    plan = tables.plan("table1", ["digits", "cifar10"], [100], ["softmax"], seeds=2)
    shown = tables.cells(records(plan), "table1", plan)
    with pytest.raises(ConfigError, match="expected one experiment, got several cells softmax@100"):
        tables.means(shown)
    assert tables.means(shown[shown["dataset"] == "digits"]) == {"softmax@100": 70.5}
