"""Sentences about a table, and differences, say what its numbers say, whatever they are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from made_up_records import full_and_short, records
from own_images import write_own_images

from lt_core import tables
from lt_core.data import own as own_data
from lt_core.errors import ConfigError
from lt_core.runs.records import Results, committed

METHODS = ["softmax", "focal", "ghm", "gala"]
ACCURACY = {"softmax": 60.0, "focal": 60.0, "ghm": 40.0, "gala": 75.0}


def shown(seeds: int = 3, accuracy=ACCURACY, finished: int | None = None) -> pd.DataFrame:
    plan = tables.plan("table1", "digits", [100], METHODS, seeds=seeds)
    noise = np.random.default_rng(0).normal(0, 0.5, len(plan))
    numbers = {c.key: accuracy[c.method] + e for c, e in zip(plan, noise, strict=True)}
    frame = records(plan[:finished], lambda config: numbers[config.key])
    return tables.cells(frame, "table1", plan)


def test_ranking_names_top_bottom_and_the_scatter():
    text = tables.ranking(shown(), 100)
    assert "`gala` stands highest with 75." in text
    assert "+rebalance" not in text  # it has a step more
    assert "`ghm` lowest with 40" in text or "`ghm` lowest with 39" in text
    assert "`softmax` has" in text
    assert "so chance alone parts two means of 3 runs by less than " in text
    assert "8 degrees of freedom" in text  # four methods of three runs, re-balanced not again


def test_ranking_names_the_rows_that_chance_may_have_put_second():
    text = tables.ranking(shown(), 100)
    assert text.endswith(" No row is closer than that to the highest.")
    near = tables.ranking(shown(accuracy=ACCURACY | {"ghm": 75.0, "focal": 75.0}), 100)
    assert near.endswith("are closer than that to the highest.")
    assert "`focal` and `" in near or "` and `focal`" in near or "`ghm` and `gala`" in near


def test_ranking_of_single_runs_and_of_nothing():
    assert "nothing says how far a run scatters" in tables.ranking(shown(seeds=1), 100)
    assert tables.ranking(shown(finished=0), 100).startswith("Too few")
    assert tables.ranking(shown(), 10).startswith("Too few")


def test_significance_lists_what_noise_does_not_explain():
    differences = tables.differences(shown(), 100)
    text = tables.significance(differences)
    assert text.startswith("2 of 3 rows differ")
    assert text.endswith("Not tested, having no runs of their own: `gala+rebalance`.")
    assert "`ghm` (−20." in text or "`ghm` (−19." in text
    assert "`focal`" not in text
    same = tables.differences(shown(accuracy=dict.fromkeys(METHODS, 60.0)), 100)
    assert "`focal`" not in tables.significance(same)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A plan on a user's own images, three seeds of two losses, and the records of it."""
    monkeypatch.setenv(own_data.FOLDERS, "")
    folder = write_own_images(tmp_path / "pets")
    plan = tables.plan("table1", f"folder:{folder}", None, ["softmax", "balanced_softmax"])
    noise = {config.key: (3 * i % 7) / 10 for i, config in enumerate(plan)}
    return folder, plan, records(plan, lambda config: 60 + noise[config.key])


def results_of(plan, frame, accuracy, skipped=0):
    numbers = [json.dumps(config.resolved_recipe().numbers()) for config in plan]
    keys = [config.key for config in plan for _ in accuracy]
    classes = pd.DataFrame({"key": keys, "accuracy": [*accuracy] * len(plan)})
    history = {"key": [config.key for config in plan] * 2}
    history |= {"skipped": [skipped] * len(plan) + [0] * len(plan)}
    frame = frame.assign(train_images=20, recipe_numbers=numbers)
    return Results(frame, classes, pd.DataFrame(history))


def test_what_is_said_of_own_images_is_true_of_them(own):
    """They have no factor that they were cut to, and no paper knows them."""
    _, plan, frame = own
    shown = tables.cells(frame, "table1", plan)
    said = [tables.ranking(shown, 1), tables.trade(shown, 1), tables.flattery(shown)]
    drawn = [tables.render(shown), tables.render_groups(shown)]
    drawn += [tables.render_trace(tables.trace(shown)), tables.render(shown.assign(n=0))]
    drawn += [tables.render(shown.assign(full=False))]
    drawn += [tables.covered(shown.assign(added=False)).index[0]]
    for text in map(str, [*said, *drawn]):
        assert "factor 1" not in text
        assert "paper" not in text
    assert said[0].startswith("On these images, `")
    assert "these images" in str(drawn[0])
    assert "REDUCED: a shortened or changed recipe\n" in str(drawn[4])


def test_a_list_that_is_taken_whole_has_no_factor_of_1():
    plan = tables.plan("gala", "inaturalist2018", None, ["softmax"], seeds=1)
    text = str(tables.render(tables.cells(records(plan), "gala", plan)))
    assert "the whole list" in text
    assert "factor 1" not in text


@pytest.mark.parametrize("accuracy", [(1.0, 0.0, 0.0), (0.3, 0.4, 0.32)])
def test_rows_that_are_all_at_chance_say_so(own, accuracy):
    _, plan, frame = own
    shown = tables.cells(frame, "table1", plan)
    text = tables.remarks(shown, results_of(plan, frame, accuracy))
    assert "No row on these images is better than guessing among 3 classes (33.3" in text


def test_rows_that_have_learned_carry_no_such_remark(own):
    _, plan, frame = own
    shown = tables.cells(frame, "table1", plan)
    results = results_of(plan, frame, (0.9, 0.5, 0.1))
    assert "guessing" not in tables.remarks(shown, results)
    one = results_of(plan, frame, (1.0, 0.0, 0.0))
    softmax = one.classes["key"].isin([c.key for c in plan if c.method == "softmax"])
    one.classes.loc[~softmax, "accuracy"] = 0.8  # one row of two has learned
    assert "guessing" not in tables.remarks(shown, one)


def test_images_that_were_left_out_are_counted_under_the_table(own):
    folder, plan, frame = own
    shown = tables.cells(frame, "table1", plan)
    assert "left out" not in tables.remarks(shown, results_of(plan, frame, (0.9, 0.5, 0.1)))
    text = tables.remarks(shown, results_of(plan, frame, (0.9, 0.5, 0.1), skipped=2))
    assert "left out: up to 2 per epoch, in 6 of 6 runs on `folder:pets@" in text
    assert f"`lt-core look {folder} --open`" in text


def test_a_batch_larger_than_the_training_set_is_told(own):
    _, plan, frame = own
    shown = tables.cells(frame, "table1", plan)
    text = tables.remarks(shown, results_of(plan, frame, (0.9, 0.5, 0.1)))
    assert "is a single step, as its 20 training images are fewer than a batch of 64" in text


def test_pages_of_committed_records_need_no_remark():
    found = committed()
    for table in tables.names():
        text = tables.remarks(tables.fill(table, {"dataset": None}).cells, found)
        assert text == "" or "guessing" in text


@pytest.mark.parametrize("frame", [{"seeds": 1}, {"finished": 0}])
def test_no_significance_without_repetition(frame):
    assert "nothing to test by" in tables.significance(tables.differences(shown(**frame), 100))


def test_a_single_run_is_shown_and_not_judged():
    plan = tables.plan("table1", "digits", [100], ["softmax", "focal"], seeds=3)
    plan += tables.plan("table1", "digits", [100], ["icb"], seeds=1)
    noise = {config.key: (3 * i % 7) / 10 for i, config in enumerate(plan)}
    accuracy = {"softmax": 60, "focal": 50, "icb": 90}
    frame = records(plan, lambda config: accuracy[config.method] + noise[config.key])
    found = tables.differences(tables.cells(frame, "table1", plan), 100)
    assert found["p_holm"].isna().to_dict() == {"icb": True, "focal": False}
    assert found["low"].notna().all()
    text = tables.significance(found)
    assert text.startswith("1 of 1 rows differ")
    assert "`focal` (−10." in text
    assert text.endswith("Not tested, having a single run: `icb`.")


def test_trade_is_against_the_baseline_in_each_group_that_exists():
    frame = shown()
    gala = frame["method"] == "gala"
    frame.loc[gala, "many"] -= 10
    frame.loc[gala, "few"] += 19
    text = tables.trade(frame, 100)
    assert "`gala`, the highest row other than `softmax`, differs from it by" in text
    assert text.endswith("−10.0 points on *many* and +19.0 points on *few*.")
    assert "medium" not in text
    assert "once" in tables.trade(shown(finished=0), 100)


def test_trade_of_single_runs_says_so():
    assert "a single run says nothing" in tables.trade(shown(seeds=1), 100)
    assert "a single run" not in tables.trade(shown(), 100)


def test_flattery_by_hand():
    assert "0.5 points on average and 0.5 at most" in tables.flattery(shown())
    assert "not known" in tables.flattery(shown(finished=0))
    level = shown()
    level["mean_best"] = level["mean"] - 1e-14  # rounding, not a loss
    assert "a row 0.0 points on average and 0.0 at most" in tables.flattery(level)


def test_command_repeats_the_request():
    request = {"dataset": "cifar10", "imbalance_factors": [100, 12.5], "methods": None, "seeds": 3}
    assert tables.command("table1", request) == (
        "lt-core reproduce table1 --dataset cifar10 --imbalance-factor 100,12.5 --seeds 3 "
        "--data-root DIR"
    )


def test_provenance_names_hardware_and_versions():
    plan = tables.plan("table1", "digits", [100], METHODS, seeds=2)
    frame = records(plan).assign(
        seconds=450.0, hardware="one GPU", torch="2.15", lt_core="0.1", commit="abc"
    )
    text = tables.provenance(tables.cells(frame, "table1", plan), frame)
    assert text == (
        "8 runs (handwritten digits, `resnet_digits`, 30 epochs), seeds 0, 1, 1.0 hours of "
        "training in all on `one GPU`; "
        "lt_core `0.1`, commit `abc`, torch `2.15`."
    )
    packed = frame.assign(pack=[4] * 4 + [None] * 4)  # four runs shared the GPU
    text = tables.provenance(tables.cells(packed, "table1", plan), packed)
    assert "37.5 minutes of training" in text
    empty = tables.cells(pd.DataFrame(), "table1", plan)
    assert tables.provenance(empty, pd.DataFrame()) == "No run has finished yet."


def test_names_stay_code_whatever_they_contain():
    frame = shown()
    frame["method"] = frame["method"].replace("gala", "a` <img src=x> `b")
    frame = frame[~frame["rebalanced"]]
    assert "`a <img src=x> b`" in tables.ranking(frame, 100)
    differences = tables.differences(frame, 100)
    assert "`a <img src=x> b`" in tables.significance(differences)


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
    shown, _ = full_and_short()
    for compare in (tables.differences, tables.ranking, tables.trade):
        with pytest.raises(ConfigError, match="differ in epochs"):
            compare(shown, 100)
    assert len(tables.differences(shown[~shown["full"]], 100)) == 1


def test_coverage_of_nothing():
    assert tables.coverage(tables.cells(pd.DataFrame(), "table1")) == (
        "None of the 96 cells with a published number was run in full."
    )
    assert tables.coverage(shown()).startswith("None of these cells")  # of the paper's
