"""Plans, cells and rendered tables, on records made up so that every number is known."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
import stores
from made_up_records import records

from lt_core import losses, tables
from lt_core.errors import ConfigError, LtError
from lt_core.runs.records import of_store
from lt_core.tables import summary
from lt_core.training import RunConfig

HOSTILE = "<img src=x onerror=alert(1)> | $x^2$ 類 " + "w" * 200


def cell(frame: pd.DataFrame, method: str, factor: float = 100) -> pd.Series:
    found = frame[(frame["method"] == method) & (frame["imbalance_factor"] == factor)]
    assert len(found) == 1
    return found.iloc[0]


# published numbers


def test_published_numbers_are_complete():
    table = tables.published("table1")
    assert len(table) == 3 * 4 * 8
    assert table["top1"].between(0, 100).all()
    papers = {row.label for row in tables.get("table1").rows if not row.beyond}
    assert set(table["method"]) == papers - {"gala", "gala+rebalance"}
    assert table.set_index(["dataset", "imbalance_factor", "method"])["top1"][
        ("cifar100", 100, "icb")
    ] == pytest.approx(41.59)
    for name in ("table2", "table3", "gala"):
        assert len(tables.published(name))


def test_published_is_a_copy():
    changed = tables.published("table1")
    changed["top1"] = 0
    assert tables.published("table1")["top1"].gt(0).all()


def test_every_published_row_of_a_table_can_be_shown():
    for name in ("table3", "gala"):
        labels = {row.published for row in tables.get(name).rows}
        assert set(tables.published(name)["method"]) - labels <= {"gcl"}


# plans


def test_quick_table1_is_81_runs_and_36_beyond_the_papers():
    plan = tables.plan("table1", dataset="digits", seeds=3)
    assert len(plan) == len({config.key for config in plan}) == 81 + 36
    beyond = {row.method for row in tables.get("table1").rows if row.beyond}
    assert beyond == {"ldam", "balanced_softmax", "logit_adjustment", "gcl"}
    assert sum(config.method in beyond for config in plan) == 3 * 3 * 4
    papers = tables.plan("table1", dataset="cifar10", seeds=3)
    assert not beyond & {config.method for config in papers}
    assert {config.imbalance_factor for config in plan} == {100, 10, 1}
    assert {config.seed for config in plan} == {0, 1, 2}
    assert "gala" in {config.method for config in plan}  # once: +rebalance needs no run
    assert {config.recipe for config in plan} == {"digits"}


def test_plan_is_most_wanted_first():
    plan = tables.plan("table1", dataset="cifar10", methods=["softmax", "focal"], seeds=2)
    order = [(config.imbalance_factor, config.seed, config.method) for config in plan]
    assert order[:4] == [
        (100, 0, "softmax"), (100, 0, "focal"), (100, 1, "softmax"), (100, 1, "focal")
    ]  # fmt: skip
    assert order[4][0] == 500


def test_full_table1_is_the_papers_size():
    plan = tables.plan("table1", seeds=1)
    assert len(plan) == 3 * 4 * 9
    assert {(config.recipe, config.epochs) for config in plan} == {("ldam_drw", 200)}


def test_a_rehearsal_is_the_same_table_with_another_network():
    plan = tables.plan("table1", "cifar10", [100], seeds=1, model="resnet_rehearsal", epochs=10)
    assert {(config.model, config.epochs) for config in plan} == {("resnet_rehearsal", 10)}
    shown = tables.cells(records(plan), "table1", plan)
    assert not shown["full"].any()
    assert shown["paper"].isna().all()


def test_the_wanted_runs_begin_with_factor_100_and_end_with_balanced_data():
    plan = tables.wanted()
    first, last = plan[0], plan[-1]
    assert (first.dataset, first.imbalance_factor, first.method) == ("cifar10", 100, "softmax")
    assert last.imbalance_factor == 1
    anew = [config for config in plan if config.subset_seed]
    assert {(config.seed, config.subset_seed) for config in anew} == {(k, k) for k in range(1, 5)}
    few = tables.wanted(model="resnet_rehearsal", epochs=3, seeds=1)
    assert {config.key for config in few}.isdisjoint(config.key for config in plan)
    assert {config.seed for config in few if not config.subset_seed} == {0}


def test_gala_table_runs_both_forms():
    plan = tables.plan("gala", seeds=[5])
    assert {(config.method, config.variant) for config in plan} == {
        ("softmax", ""),
        ("gala", ""),
        ("gala", "variant=released"),
    }
    assert [config.imbalance_factor for config in plan[::3]] == [200, 100, 50, 10]
    assert {config.seed for config in plan} == {5}


def test_ablation_covers_the_parts_of_icb():
    plan = tables.plan("table3", dataset="cifar100", seeds=1)
    assert {(config.method, config.variant) for config in plan} == {
        ("softmax", ""),
        ("icb", "intra=False"),
        ("icb", "density=uniform,inter=False"),
        ("icb", "density=uniform"),
        ("icb", ""),
        ("seesaw", "q=0"),
        ("seesaw", ""),
    }


def test_grid_crosses_losses_and_recipes():
    plan = tables.plan("grid", dataset="cifar100", seeds=1)
    assert len(plan) == 8 * 2
    assert {config.recipe for config in plan} == {"ldam_drw", "gala"}


def test_a_comma_in_brackets_belongs_to_the_rows_name():
    rows = ["icb[inter]", "icb[intra,ura]", "icb[inter,intra,ura]", "softmax"]
    text = ", ".join(rows)
    assert tables.plan("table3", methods=text) == tables.plan("table3", methods=rows)
    # The printed command is one that a shell hands on as it is.
    command = tables.command("table3", {"methods": rows[:3]})
    assert shlex.split(command)[-1] == ",".join(rows[:3])


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
        ({"seeds": 0}, "seeds"),
        ({"seeds": None}, "seeds"),
        ({"seeds": "one"}, "seeds"),
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


# cells


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


def test_seeds_that_saw_different_images_have_no_verdict():
    plan, frame = paper_runs()
    frame["data_sha256"] = "ab"
    assert cell(tables.cells(frame, "table1", plan), "softmax")["paper"] == 71.74
    frame.loc[frame.index[0], "data_sha256"] = "cd"
    shown = tables.cells(frame, "table1", plan)
    row, other = cell(shown, "softmax"), cell(shown, "focal")
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
    plan, frame = paper_runs()
    table = tables.published("table1")
    mine = table.query("dataset == 'cifar10' and imbalance_factor == 100 and method == 'softmax'")
    monkeypatch.setattr(summary, "published", lambda _: pd.concat([table, mine.assign(**changed)]))
    assert cell(tables.cells(frame, "table1", plan), "softmax")["verdict"] == verdict


def test_means_of_two_data_sets_are_not_mixed():
    plan = tables.plan("table1", ["digits", "cifar10"], [100], ["softmax"], seeds=2)
    shown = tables.cells(records(plan), "table1", plan)
    with pytest.raises(ConfigError, match="expected one experiment, got several cells softmax@100"):
        tables.means(shown)
    assert tables.means(shown[shown["dataset"] == "digits"]) == {"softmax@100": 70.5}


def test_empty_store_gives_no_run():
    plan = tables.plan("table1", "digits", [100], ["softmax", "gala"], seeds=3)
    frame = tables.cells(pd.DataFrame(), "table1", plan)
    assert list(frame["n"]) == [0, 0, 0]
    assert frame["mean"].isna().all()
    assert set(frame["verdict"]) == {"not run"}
    text = str(tables.render(frame))
    assert text == (
        "Not run: softmax, gala, gala+rebalance on digits, resnet_digits, 30 epochs at factor 100."
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


# beside the paper


def paper_runs(epochs=None, seeds=3, offset=0.0, dataset="cifar10", methods=("softmax", "focal")):
    plan = tables.plan("table1", dataset, [100], methods, seeds=seeds, epochs=epochs)
    return plan, records(plan, lambda config: 71.74 + offset + 0.3 * (config.seed - 1))


def test_a_full_recipe_on_the_papers_data_gets_a_verdict():
    plan, frame = paper_runs()
    row = cell(tables.cells(frame, "table1", plan), "softmax")
    assert (row["full"], row["paper"], row["verdict"]) == (True, 71.74, "agrees")
    plan, frame = paper_runs(offset=3.0)
    assert cell(tables.cells(frame, "table1", plan), "softmax")["verdict"] == "differs"


def test_last_and_best_epoch_are_judged_apart():
    plan, frame = paper_runs(offset=-0.5)
    frame["top1_best"] = frame["top1"] + 5
    row = cell(tables.cells(frame, "table1", plan), "softmax")
    assert (row["verdict"], row["verdict_best"]) == ("agrees", "differs")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"dataset": "digits"}, "other data"),
        ({"dataset": "tinyimagenet32"}, "other data"),
        ({"epochs": 40}, "40 of 200 epochs"),
        ({"methods": ("softmax", "gala")}, None),
    ],
)
def test_no_value_of_the_paper_beside_anything_else(arguments, reason):
    plan, frame = paper_runs(**arguments)
    result = tables.cells(frame, "table1", plan)
    if reason is None:  # GALA is not in the poster's table
        result, reason = result[result["method"] == "gala"], "no published number"
    assert result["paper"].isna().all()
    assert set(result["verdict"]) == {f"no verdict ({reason})"}
    assert "paper " not in str(tables.render(result)).partition("\n")[2]


def test_another_recipe_is_not_the_papers():
    plan = tables.plan("table1", "cifar10", [100], ["softmax"], recipe="gala")
    row = cell(tables.cells(records(plan), "table1", plan), "softmax")
    assert row["verdict"] == "no verdict (other recipe)"
    changed = [RunConfig("cifar10", "softmax", 100, overrides={"learning_rate": 0.2}, seed=s)
               for s in range(3)]  # fmt: skip
    row = cell(tables.cells(records(changed), "table1", changed), "softmax")
    assert row["verdict"] == "no verdict (other recipe)"
    assert "REDUCED" in str(tables.render(tables.cells(records(changed), "table1", changed)))


def test_one_run_has_no_verdict_but_stands_beside_the_paper():
    plan, frame = paper_runs(seeds=1)
    row = cell(tables.cells(frame, "table1", plan), "softmax")
    assert (row["verdict"], row["paper"]) == ("no verdict (n = 1)", 71.74)


def test_without_a_plan_every_cell_of_the_paper_is_listed():
    _, frame = paper_runs()
    frame.loc[frame["method"] == "focal", "top1"] += 5
    result = tables.cells(frame, "table1")
    assert result["paper"].notna().sum() == 96
    assert result[result["paper"].notna()].groupby("dataset").size().to_dict() == {
        "cifar10": 32, "cifar100": 32, "tinyimagenet": 32
    }  # fmt: skip
    tiny = result[result["dataset"] == "tinyimagenet"]
    assert set(tiny["verdict"]) == {"not run"}
    assert tables.coverage(result) == (
        "2 of 96 published cells were run in full: 1 agree, 1 differ, 0 no verdict."
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


# rendering


def test_markup_and_control_characters_are_escaped():
    plan = tables.plan("table1", "digits", [100], ["softmax"], seeds=2)
    result = tables.cells(records(plan), "table1", plan)
    result["method"] = HOSTILE
    result["overrides"] = "<script>"
    result["dataset"] = "a\x1b[2Jb\nc"
    for rendered in (tables.render(result), tables.render_groups(result)):
        assert "<img" not in rendered.html
        assert "&lt;img" in rendered.html
        assert "<script" not in rendered.html
        assert "mathjax_ignore" in rendered.html  # $x^2$ is no formula here
        text = str(rendered)
        assert "\x1b" not in text
        assert r"a\x1b[2Jb\nc" in text


def test_rendered_table_has_factors_across_and_the_mark_of_what_it_is():
    plan = tables.plan("table1", "digits", methods=["softmax", "gala"], seeds=2)
    rendered = tables.render(tables.cells(records(plan), "table1", plan))
    [(caption, frame)] = rendered.blocks
    assert list(frame.columns) == ["method", "factor 100", "factor 10", "factor 1"]
    assert frame["factor 100"].tolist()[0] == "70.5 ± 0.7 (n=2)"
    assert "not the paper's experiment" in caption
    reduced = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=1, epochs=3)
    rendered = tables.render(tables.cells(records(reduced), "table1", reduced))
    assert "REDUCED" in rendered.blocks[0][0]
    assert "paper 100" not in rendered.blocks[0][1]


def test_paper_and_verdict_stand_beside_the_factor():
    plan, frame = paper_runs()
    [(_, block)] = tables.render(tables.cells(frame, "table1", plan)).blocks
    assert block.set_index("method").loc["softmax"].tolist() == [
        "71.74 ± 0.30 (n=3)", "71.74", "agrees"
    ]  # fmt: skip


def test_group_tables_leave_out_groups_that_no_factor_has():
    plan = tables.plan("table1", "digits", [100, 1], ["softmax"], seeds=2)
    rendered = tables.render_groups(tables.cells(records(plan), "table1", plan))
    assert [list(frame.columns) for _, frame in rendered.blocks] == [
        ["method", "top-1, %", "many, %", "few, %"]
    ] * 2
    cells = tables.cells(records(plan), "table1", plan)
    cells["few"] = np.nan  # all classes are large, and their accuracy is the overall one
    assert list(tables.render_groups(cells).blocks[0][1].columns) == ["method", "top-1, %"]


def test_what_has_no_number_is_shown_as_a_dash():
    plan = tables.plan("table1", "digits", [100, 1], ["softmax", "gala"], seeds=2)
    cells = tables.cells(records(plan), "table1", plan)
    at = cells["imbalance_factor"] == 1
    cells.loc[at & (cells["method"] == "softmax"), "few"] = np.nan  # a group without a class
    groups = tables.render_groups(cells).blocks[1][1].set_index("method")
    assert groups.loc["softmax", "few, %"] == "–"
    assert groups.loc["gala", "few, %"] == "30.5"
    table = tables.render(cells[~at | (cells["method"] == "gala")]).blocks[0][1]
    assert table.set_index("method").loc["softmax", "factor 1"] == "–"  # not asked for there
    single = tables.plan("table1", "digits", [100], ["softmax", "gala"], seeds=1)
    single = tables.cells(records(single), "table1", single)
    frame = tables.render_differences(tables.differences(single, 100)).blocks[0][1]
    assert frame.loc[0, ["95 % interval", "p, Holm"]].tolist() == ["–", "–"]
    papers, frame = paper_runs(methods=("softmax", "gala"))
    frame = tables.render(tables.cells(frame, "table1", papers)).blocks[0][1]
    assert frame.set_index("method").loc["gala", "paper 100"] == "–"  # not in the paper's table
