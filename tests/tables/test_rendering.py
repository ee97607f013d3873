"""Tables as text and HTML."""

from __future__ import annotations

import numpy as np
import pandas as pd
from made_up_records import full_and_short, of_the_paper, records

from lt_core import tables
from lt_core.tables import rendering

HOSTILE = "<img src=x onerror=alert(1)> | $x^2$ 類 " + "w" * 200


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


def test_paper_and_verdict_stand_beside_the_factor_and_rows_have_a_head():
    plan, frame = of_the_paper()
    rendered = tables.render(tables.cells(frame, "table1", plan))
    [(_, block)] = rendered.blocks
    assert block.set_index("method").loc["softmax"].tolist() == [
        "71.74 ± 0.30 (n=3)", "71.74", "agrees"
    ]  # fmt: skip
    assert rendered.html.count('<th scope="col">') == 4
    assert rendered.html.count('<th scope="row">') == 2
    assert "<td>71.74</td>" in rendered.html
    assert "<th></th>" not in rendered.html


def test_experiments_side_by_side_have_a_row_for_each_method_that_one_of_them_has():
    plan = tables.plan("table1", "digits", [100], ["softmax", "icb"], seeds=2)
    shown = tables.cells(records(plan), "table1", plan)
    columns = {"both": shown, "one": shown[shown["method"] == "icb"], "none": shown[:0]}
    ((caption, frame),) = tables.render_side_by_side(columns, "accuracy").blocks
    assert (caption, list(frame.columns)) == ("accuracy", ["method", "both", "one"])
    both = shown.apply(rendering.accuracy, axis=1).tolist()
    assert frame.to_numpy().tolist() == [["softmax", both[0], "–"], ["icb", both[1], both[1]]]
    ((_, empty),) = tables.render_side_by_side({"none": shown[:0]}, "").blocks
    assert empty.empty


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
    single.loc[1, "values"] = (single.loc[1, "values"][0] - 0.04,)  # zero has no minus
    frame = tables.render_differences(tables.differences(single, 100)).blocks[0][1]
    assert frame.loc[0].tolist() == ["gala", "+0.0", "–", "–"]
    papers, frame = of_the_paper(methods=("softmax", "gala"))
    frame = tables.render(tables.cells(frame, "table1", papers)).blocks[0][1]
    assert frame.set_index("method").loc["gala", "paper 100"] == "–"  # not in the paper's table


def test_a_row_that_the_paper_does_not_have_is_named():
    plan = tables.plan("table1", "digits", [100], seeds=1)
    ((caption, _),) = tables.render(tables.cells(records(plan), "table1", plan)).blocks
    added = "gala, gala+rebalance, ldam, balanced_softmax, logit_adjustment, gcl"
    assert f"; not in the paper's table: {added}" in caption


def test_a_row_that_was_asked_for_by_name_is_not_said_to_be_in_the_papers_table():
    plan = tables.plan("gala", "digits", [100], ["softmax", "gcl", "gcl+rebalance"], seeds=2)
    shown = tables.cells(records(plan), "gala", plan, methods=["gcl+rebalance"])
    ((caption, _),) = tables.render(shown).blocks
    assert "; not in the paper's table: gcl+rebalance, gcl" in caption


def test_a_reduced_table_stands_before_the_full_one():
    shown, _ = full_and_short()
    captions = [caption for caption, _ in tables.render(shown).blocks]
    assert ["REDUCED" in caption for caption in captions] == [True, False]


def test_of_the_reduced_experiments_on_one_data_set_the_largest_stands_first():
    small = {"model": "resnet_rehearsal", "epochs": 40, "seeds": 1}
    plan = tables.plan("table1", "cifar100", [100], ["softmax"], **small)
    plan += tables.plan("table1", "cifar10", [100], ["softmax"], epochs=60, seeds=1)
    plan += tables.plan("table1", "cifar10", [100], ["softmax", "focal"], **small)
    shown = tables.cells(records(plan), "table1", plan)
    captions = [caption.partition(";")[0] for caption, _ in tables.render(shown).blocks]
    assert captions == [
        "CIFAR-10, resnet_rehearsal", "CIFAR-10, resnet32", "CIFAR-100, resnet_rehearsal"
    ]  # fmt: skip


def test_any_frame_is_shown_with_its_index_and_rounded_numbers():
    frame = pd.DataFrame({"points": [-1.26, -0.04, float("nan")], "n": [1, 2, 3]}, list("abc"))
    rendered = tables.render_frame(frame, "a caption")
    ((caption, shown),) = rendered.blocks
    assert caption == "a caption"
    assert shown["points"].tolist() == ["−1.3", "0.0", "–"]


def test_every_number_is_traced_to_its_run():
    shown, frame = full_and_short()
    trace = tables.trace(shown)
    top1 = frame.set_index("key")["top1"]
    own = trace[trace["method"] != "gala+rebalance"]
    assert sorted(own["key"]) == sorted(frame["key"])
    assert (own["top1"].astype(float).to_numpy() == top1[own["key"]].to_numpy()).all()
    full, short = tables.render_trace(trace).blocks  # 200 epochs and 5
    assert full[1]["run"].tolist() + short[1]["run"].tolist() == trace["key"].tolist()
    assert list(short[1].columns) == ["method", "factor", "seed", "top-1, %", "run"]
    page = tables.render_trace(trace).html
    folded = page.split("<details>")[1:]
    assert len(folded) == page.count("<summary>every run behind") == 2
    assert all("<table" in part.partition("</details>")[0] for part in folded)
    assert "<details>" not in tables.render(shown).html
    other = tables.render_trace(tables.trace(shown.assign(precision="bfloat16"))).blocks
    assert all("bfloat16" in caption for caption, _ in other)


def test_cost_counts_a_run_once_and_names_the_hardware():
    shown, frame = full_and_short()
    ((caption, cost),) = tables.render_cost(shown, frame).blocks
    assert caption == "minutes per run on a core: median of wall time; 9.0 minutes in all"
    assert cost.set_index("method")["runs"].to_dict() == {"softmax": 4, "gala": 2}
    assert set(cost["minutes per run"]) == {"1.5"}
    ((_, quick),) = tables.render_cost(shown, frame.assign(seconds=4.0)).blocks
    assert set(quick["seconds per run"]) == {"4.0"}


def test_one_epoch_is_one():
    plan = tables.plan("table1", "digits", [100], ["softmax", "focal"], epochs=1, seeds=1)
    rendered = tables.render(tables.cells(records(plan[:1]), "table1", plan))
    ((caption, _),) = rendered.blocks
    assert "1 epoch," in caption
    assert (
        rendered.remark
        == "Not run: focal on handwritten digits, resnet_digits, 1 epoch at factor 100."
    )


def test_what_was_not_run_is_one_sentence_in_the_place_of_rows():
    plan = tables.plan("table1", "cifar10", [100, 10], ["softmax", "focal"], seeds=1)
    shown = tables.cells(records(plan[:1]), "table1", plan)
    rendered = tables.render(shown)
    ((_, frame),) = rendered.blocks
    assert list(frame["method"]) == ["softmax"]
    assert list(frame) == ["method", "factor 100", "paper 100"]  # one run has no verdict
    assert rendered.remark == (
        "Not run: focal on CIFAR-10, resnet32, 200 epochs at factor 100; "
        "softmax, focal on CIFAR-10, resnet32, 200 epochs at factor 10."
    )
    none = tables.render(tables.cells(pd.DataFrame(), "grid"))
    assert none.remark == (
        "Not run: all 8 rows on CIFAR-10, resnet32, 200 epochs at factor 100 "
        "and on CIFAR-100, resnet32, 200 epochs at factor 100."
    )
    made = [one for one in tables.plan("grid", "cifar10") if one.recipe == "gala"][:1]
    some = tables.render(tables.cells(records(made), "grid")).remark
    assert "all 8 rows on CIFAR-10, resnet32, 200 epochs, recipe ldam_drw, at factor 100" in some
    assert "on CIFAR-10, resnet32, 200 epochs, recipe gala, at factor 100" in some
    assert "and on CIFAR-100, resnet32, 200 epochs at factor 100" in some  # neither recipe run


def test_the_papers_numbers_are_folded_and_complete():
    names = []
    for table in ("table1", "table2", "table3", "gala"):
        rendered = tables.render_published(table)
        numbers = [frame.drop(columns="method") for _, frame in rendered.blocks]
        shown = sum(frame.ne(rendering.NOTHING).to_numpy().sum() for frame in numbers)
        cells = tables.published(table)[["dataset", "imbalance_factor", "method", "group"]]
        assert shown == len(cells.drop_duplicates())
        assert rendered.html.startswith("<details>")
        names += [caption for caption, _ in rendered.blocks]
    assert len(set(names)) == len(names)
