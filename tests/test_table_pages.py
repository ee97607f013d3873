"""What the pages of tables add to the cells: figures' data, cost, traces, and that they run."""

from __future__ import annotations

import inspect

import pandas as pd
import pytest
import stores
from made_up_records import records

from lt_core import cli, runs, tables, training
from lt_core.book import notebooks, parameters_cell, reproduction
from lt_core.errors import ConfigError, Unfinished
from lt_core.parameters import listed
from lt_core.runs.records import committed
from lt_core.tables import pages, rendering

METHODS = ["softmax", "gala"]


def run(plan):
    hardware = {"hardware": "a core", "pack": 1, "seconds": 90.0}
    return records(plan).assign(**hardware)


def both():
    """Cells of two full runs and of four shortened ones, with their records."""
    full = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2)
    short = tables.plan("table1", "cifar10", [100], METHODS, seeds=2, epochs=5)
    frame = run([*full, *short])
    return tables.cells(frame, "table1", [*full, *short]), frame


def test_the_fullest_block_has_the_most_runs_and_of_two_alike_the_full_recipe():
    shown, _ = both()
    assert set(tables.fullest(shown)["epochs"]) == {5}  # gala's runs are reduced ones only
    softmax = shown[shown["method"] == "softmax"]
    assert set(tables.fullest(softmax)["epochs"]) == {200}
    assert tables.fullest(shown.assign(n=0)).empty


def test_every_row_of_a_table_is_covered_in_full_or_reduced_or_not():
    full = tables.plan("table1", "cifar10", [100], ["softmax"], seeds=2)
    small = {"seeds": 1, "model": "resnet_rehearsal"}  # reduced though it trains 200 epochs
    small = tables.plan("table1", "cifar10", [100], ["softmax", "focal", "ldam"], **small)
    counts = tables.covered(tables.cells(run([*full, *small]), "table1"))
    assert counts.loc["cifar10, factor 100"].to_dict() == {
        "in full": 1, "reduced": 1, "not run": 8
    }  # fmt: skip
    assert counts.to_numpy().sum() == 3 * 4 * 10  # ldam is no row of the paper


def test_a_reduced_table_stands_before_the_full_one():
    shown, _ = both()
    captions = [caption for caption, _ in tables.render(shown).blocks]
    assert ["REDUCED" in caption for caption in captions] == [True, False]


def test_any_frame_is_shown_with_its_index_and_rounded_numbers():
    frame = pd.DataFrame({"points": [-1.26, -0.04, float("nan")], "n": [1, 2, 3]}, list("abc"))
    rendered = tables.render_frame(frame, "a caption")
    ((caption, shown),) = rendered.blocks
    assert caption == "a caption"
    assert shown["points"].tolist() == ["−1.3", "0.0", "–"]


def test_a_page_of_records_trains_nothing_and_says_how_to():
    page = tables.page("table3", {"dataset": None, "seeds": 3})
    assert page.unfinished is None
    assert set(page.cells["dataset"]) <= set(tables.get("table3").datasets)
    assert len(page.main[list(rendering.BLOCK)].drop_duplicates()) <= 1
    assert "lt-core reproduce table3 --dataset cifar100" in page.commands
    assert page.metrics["cells"] == len(page.cells)


def test_a_page_shows_what_there_is_and_keeps_what_stopped_it(tmp_path, monkeypatch):
    def stopped(plan, store, **_):
        stores.add_run(tmp_path, plan[0].key)
        raise Unfinished("no time is left")

    monkeypatch.setattr(training, "reproduce", stopped)
    request = {"dataset": "digits", "methods": ["softmax", "focal"]}
    page = tables.page("table1", request, tmp_path, quick=True)
    assert "no time is left" in str(page.unfinished)
    assert page.cells[["method", "n"]].to_numpy().tolist() == [["softmax", 1], ["focal", 0]]
    assert set(page.cells["planned"]) == {2}  # the quick size
    assert page.differences == {}


def test_a_reduced_experiment_of_one_method_has_no_company_and_a_full_one_needs_none():
    shown, _ = both()  # of the full recipe there is softmax only
    alone = shown[(shown["method"] == "softmax") & (shown["epochs"] == 5)]
    kept = pages.with_company(pd.concat([shown, alone.assign(precision="bfloat16")]))
    pd.testing.assert_frame_equal(kept, shown)
    assert pages.with_company(shown.iloc[:0]).empty


def test_means_are_named_by_method_and_factor_where_there_are_runs():
    shown, _ = both()
    reduced = shown[shown["epochs"] == 5]
    assert set(tables.means(reduced)) == {"softmax@100", "gala@100", "gala+rebalance@100"}
    assert tables.means(reduced)["gala@100"] == reduced.set_index("method").loc["gala", "mean"]
    assert tables.means(shown.assign(n=0)) == {}


def test_every_number_is_traced_to_its_run():
    shown, frame = both()
    trace = tables.trace(shown)
    top1 = frame.set_index("key")["top1"]
    own = trace[trace["method"] != "gala+rebalance"]
    assert sorted(own["key"]) == sorted(frame["key"])
    assert (own["top1"].astype(float).to_numpy() == top1[own["key"]].to_numpy()).all()
    full, short = tables.render_trace(trace).blocks  # 200 epochs and 5
    assert full[1]["run"].tolist() + short[1]["run"].tolist() == trace["key"].tolist()
    assert list(short[1].columns) == ["factor", "method", "seed", "top-1, %", "run"]
    page = tables.render_trace(trace).html
    folded = page.split("<details>")[1:]
    assert len(folded) == page.count("<summary>every run behind") == 2
    assert all("<table" in part.partition("</details>")[0] for part in folded)
    assert "<details>" not in tables.render(shown).html
    other = tables.render_trace(tables.trace(shown.assign(precision="bfloat16"))).blocks
    assert all("bfloat16" in caption for caption, _ in other)


def test_cost_counts_a_run_once_and_names_the_hardware():
    shown, frame = both()
    ((caption, cost),) = tables.render_cost(shown, frame).blocks
    assert caption == "a core; wall time, median; 0.1 hours in all"
    assert cost.set_index("method")["runs"].to_dict() == {"softmax": 4, "gala": 2}
    assert set(cost["minutes per run"]) == {"1.50"}


def test_what_was_not_run_is_one_sentence_in_the_place_of_rows():
    plan = tables.plan("table1", "cifar10", [100, 10], ["softmax", "focal"], seeds=1)
    shown = tables.cells(records(plan[:1]), "table1", plan)
    rendered = tables.render(shown)
    ((_, frame),) = rendered.blocks
    assert list(frame["method"]) == ["softmax"]
    assert list(frame) == ["method", "factor 100", "paper 100", "verdict 100"]
    assert rendered.remark == (
        "Not run: focal on cifar10, resnet32, 200 epochs at factor 100; "
        "softmax, focal on cifar10, resnet32, 200 epochs at factor 10."
    )


def test_columns_and_rows_have_heads():
    plan = tables.plan("table1", "cifar10", [100], ["softmax", "focal"], seeds=2)
    page = tables.render(tables.cells(records(plan), "table1", plan)).html
    assert page.count('<th scope="col">') == 4
    assert page.count('<th scope="row">') == 2
    assert "<td>71.74</td>" in page  # the paper's
    assert "<th></th>" not in page


def test_the_papers_numbers_are_folded_and_complete():
    for table in ("table1", "table2", "table3", "gala"):
        rendered = tables.render_published(table)
        numbers = [frame.drop(columns="method") for _, frame in rendered.blocks]
        shown = sum(frame.ne(rendering.NOTHING).to_numpy().sum() for frame in numbers)
        cells = tables.published(table)[["dataset", "imbalance_factor", "method", "group"]]
        assert shown == len(cells.drop_duplicates())
        assert rendered.html.startswith("<details>")


SMALLEST = {"dataset": "digits", "imbalance_factors": [1.0], "seeds": 1, "epochs": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "asked"),
    [
        ("table1", {"methods": ["class_balanced"], "model": "resnet_rehearsal"}),
        ("gala", {"methods": ["gala+rebalance"], "precision": "bfloat16"}),
        ("table3", {"methods": "icb[intra,ura],softmax", "imbalance_factors": [100.0]}),
        ("grid", {"methods": ["ldam+rebalance"]}),
    ],
)
def test_a_tables_notebook_makes_the_least_that_can_be_asked_for(table, asked, tmp_path):
    """As ``lt-core reproduce TABLE`` does, on digits, one epoch long."""
    text = reproduction.notebook(table, SMALLEST | asked, tmp_path, processes=1)
    assert "REDUCED" in text
    rows = listed(asked["methods"])
    assert all(f"\n{row} " in text for row in rows)
    assert len(runs.load(tmp_path)) == len(rows)
    executed = notebooks.finished(tmp_path / f"reproduce_{table}.ipynb")
    assert executed["parameters"]["methods"] == rows


@pytest.mark.slow
def test_the_page_of_the_images_has_nothing_to_say_of_a_factor_that_was_not_run(tmp_path):
    path = reproduction.notebook_path("table1_on_images")
    notebooks.run(path, tmp_path / "page.ipynb", {"factor": 7})


@pytest.mark.parametrize("table", tables.names())
def test_a_tables_notebook_takes_what_its_command_offers(table):
    """Every option of ``lt-core reproduce`` that says which runs is a parameter of the notebook."""
    declared = notebooks.parameters_of(reproduction.notebook_path(f"reproduce_{table}"))
    asked = SMALLEST | {"methods": ["softmax"], "model": "resnet32", "precision": "bfloat16"}
    assert asked.keys() | {"store", "resources"} <= declared.keys()
    words = tables.command(table, asked).split()
    options = set(inspect.signature(cli.reproduce).parameters)
    assert {word[2:].replace("-", "_") for word in words if word[:2] == "--"} <= options


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "tinyimagenet32"])
@pytest.mark.parametrize("table", tables.names())
def test_a_tables_notebook_makes_the_runs_that_its_command_plans(table, dataset):
    declared = notebooks.parameters_of(reproduction.notebook_path(f"reproduce_{table}"))
    by_default = {
        name: parameter.default
        for name, parameter in declared.items()
        if name in inspect.signature(tables.plan).parameters and name != "dataset"
    }
    assert tables.plan(table, dataset, **by_default) == tables.plan(table, dataset)


def test_the_records_of_digits_hold_every_run_of_the_quick_table():
    plan = tables.plan("table1", "digits")
    shown = tables.cells(committed().runs, "table1", plan)
    assert (shown["n"] == 3).all()
    assert {key for keys in shown["keys"] for key in keys} == {config.key for config in plan}


def test_a_list_with_brackets_is_a_parameter_of_a_notebook():
    declared = notebooks.parameters_of(reproduction.notebook_path("reproduce_table3"))
    rows = ["icb[intra,ura]", "softmax"]
    for given in (rows, tuple(rows), "icb[intra,ura],softmax", " icb[intra,ura] , softmax "):
        assert parameters_cell.check(declared, {"methods": given}, "x") == {"methods": rows}
    with pytest.raises(ConfigError, match="did you mean"):
        parameters_cell.check(declared, {"methods": "icb[intra,urra]"}, "x")


# all that is wanted


@pytest.fixture
def made(monkeypatch):
    plans = []
    monkeypatch.setattr(training, "reproduce", lambda plan, *_, **__: plans.append(plan))
    return plans


def test_what_is_wanted_needs_no_notebook(made, tmp_path):
    request = {"dataset": "cifar10", "model": "resnet_rehearsal", "seeds": 1, "epochs": 40}
    text = reproduction.notebook("wanted", request, tmp_path, processes=1)
    assert made == [tables.wanted(**request)]
    assert text == f"all {len(made[0])} wanted runs are in {tmp_path}"
    with pytest.raises(ConfigError, match="output: 'wanted' has no notebook"):
        reproduction.notebook("wanted", request, tmp_path, tmp_path / "x.ipynb")


@pytest.mark.parametrize("dataset", ["digits", "tinyimagenet", "cifar_10"])
def test_data_that_nothing_wants_are_refused(made, tmp_path, dataset):
    with pytest.raises(ConfigError, match="unknown data set of the wanted runs"):
        reproduction.direct("wanted", {"dataset": dataset}, tmp_path)
    assert made == []


@pytest.mark.parametrize("seeds", [0, -1, 1.5, "all"])
def test_seeds_of_what_is_wanted_are_a_number(seeds):
    with pytest.raises(ConfigError, match="seeds: expected"):
        tables.wanted(seeds=seeds)


def test_a_run_that_was_set_aside_is_named_below_the_table(made, tmp_path):
    (config,) = tables.plan("table1", "digits", [100], ["softmax"], seeds=1)
    stores.add_run(tmp_path, config.key)
    stores.edited(stores.add_run(tmp_path, "f" * 16).path, lambda result: result.update(key="e"))
    request = {"methods": "softmax", "imbalance_factors": [100], "seeds": 1}
    text = reproduction.direct("table1", request, tmp_path)
    assert "softmax  60.0 (n=1)" in text
    assert f"\nset aside, not counted: {tmp_path / ('f' * 16)}" in text
