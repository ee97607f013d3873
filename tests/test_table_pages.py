"""What the pages of tables add to the cells: figures' data, cost, traces, and that they run."""

from __future__ import annotations

import pandas as pd
import pytest
from made_up_records import records

from lt_core import reproduction, tables

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


def test_the_fullest_block_is_the_full_recipe_although_fewer_runs_were_made():
    shown, _ = both()
    assert set(tables.fullest(shown)["epochs"]) == {200}
    reduced = shown[shown["epochs"] == 5]
    assert set(tables.fullest(reduced)["method"]) == {"softmax", "gala", "gala+rebalance"}
    assert tables.fullest(shown.assign(n=0)).empty


def test_a_reduced_experiment_of_one_method_has_no_company_and_a_full_one_needs_none():
    shown, _ = both()  # of the full recipe there is softmax only
    alone = shown[(shown["method"] == "softmax") & (shown["epochs"] == 5)]
    kept = tables.with_company(pd.concat([shown, alone.assign(precision="bfloat16")]))
    pd.testing.assert_frame_equal(kept, shown)
    assert tables.with_company(shown.iloc[:0]).empty


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
    assert set(cost["minutes a run"]) == {"1.50"}


def test_a_factor_of_which_nothing_was_run_says_why_once():
    shown = tables.cells(pd.DataFrame(), "table1", not_run=tables.NOT_RUN)
    frame = tables.render(shown).blocks[0][1].set_index("method")
    assert frame.loc["softmax", "factor 100"] == "not run (no GPU)"
    assert frame.loc["softmax", "factor 1"] == "not run (data)"
    assert frame.loc["softmax", "paper 100"] == "71.74"
    assert "verdict 100" not in frame


@pytest.mark.slow
@pytest.mark.parametrize("table", ["gala", "table3", "grid"])
def test_a_tables_notebook_makes_its_runs(table, tmp_path):
    """As ``lt-core reproduce TABLE`` does, on digits, one epoch long."""
    rows = [row.label for row in tables.get(table).rows if not row.rebalanced][:2]
    request = {"methods": rows, "imbalance_factors": [100.0], "seeds": 1, "epochs": 1}
    text = reproduction.notebook(table, request, tmp_path, processes=1)
    assert "REDUCED" in text
    assert all(f"\n{row}" in text for row in rows)
    assert (tmp_path / f"reproduce_{table}.ipynb").exists()
