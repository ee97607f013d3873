"""The figures of the chapter on tables draw what they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import reading_plots, tables  # noqa: E402
from lt_core.tables import statistics  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


def labels(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_spreads_fills_ours_and_leaves_the_papers_open():
    table = statistics.published_noise(tables.published("table1")).dropna()
    table = table.assign(label=table["dataset"], ours=table["estimate"] == "balanced")
    _, ax = plt.subplots()
    reading_plots.spreads(ax, table)
    points = ax.collections[-1]
    np.testing.assert_allclose(points.get_offsets()[:, 0], table["sd"])
    filled = points.get_facecolors()[:, 0] < 0.5
    np.testing.assert_array_equal(filled, table["ours"])
    ax.figure.canvas.draw()


def claimed(factors, names):
    rows = [(d, f, n, f / 100 - 1) for d in ("a", "b") for n in names for f in factors]
    table = pd.DataFrame(rows, columns=["dataset", "imbalance_factor", "claim", "difference"])
    return table.assign(noise=2.0, exact=1.0)


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_claims_has_a_panel_a_data_set_and_a_row_a_factor(names):
    figure = reading_plots.claims(claimed([500, 100, 1], names), ["a", "b"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    assert labels(figure.axes[0]) == ["500", "100", "1"]
    assert len(figure.axes[0].collections) == len(names)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert set(widths) == {2.0, 4.0}
    np.testing.assert_allclose(figure.axes[1].collections[0].get_offsets()[:, 0], [4.0, 0.0, -0.99])
    figure.canvas.draw()


def test_strips_marks_the_mean_of_each_row():
    runs = {"a$1": {"fixed": np.array([1.0, 3.0]), "anew": np.array([2.0])}}
    _, ax = plt.subplots()
    reading_plots.strips(ax, runs)
    assert labels(ax) == ["a\\$1\nfixed", "a\\$1\nanew"]
    means = [points.get_offsets()[0, 0] for points in ax.collections[1::2]]
    assert means == [2.0, 2.0]
    ax.figure.canvas.draw()


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_deviations_by_rank(classes):
    values = np.linspace(1, 20, classes)
    _, ax = plt.subplots()
    reading_plots.deviations(ax, {"fixed": values, "anew": 2 * values})
    for points, factor in zip(ax.collections, (1, 2), strict=True):
        np.testing.assert_allclose(points.get_offsets()[:, 1], factor * values)
    ax.figure.canvas.draw()


def test_best_and_last_marks_both():
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "top1": [10.0, 40.0, 30.0, 35.0]})
    _, ax = plt.subplots()
    reading_plots.best_and_last(ax, {"run": history})
    last, best = (points.get_offsets()[0].tolist() for points in ax.collections)
    assert last == [4, 35.0]
    assert best == [2, 40.0]
    ax.figure.canvas.draw()


def test_shares_labels_each_line_at_its_end():
    table = pd.DataFrame({"factor 1": [80, 40, 20], "factor 100": [70, 30, 10]}, [10, 100, 200])
    _, ax = plt.subplots()
    reading_plots.shares(ax, table)
    assert [text.get_text() for text in ax.texts] == ["factor 1", "factor 100"]
    assert ax.lines[1].get_ydata().tolist() == [70, 30, 10]
    ax.figure.canvas.draw()


def test_steps_points_from_alone_to_with_the_step():
    alone, with_step = pd.Series({"first": 3.0, "second": -1.0}), pd.Series([3.5, 1.0])
    _, ax = plt.subplots()
    reading_plots.steps(ax, alone, with_step, "GCL")
    arrows = [(text.xyann[0], text.xy[0]) for text in ax.texts]
    assert arrows == [(3.0, 3.5), (-1.0, 1.0)]
    assert labels(ax) == ["first", "second"]
    ax.figure.canvas.draw()


def test_slopes_leads_each_row_from_column_to_column():
    table = pd.DataFrame({"5 epochs": [30.0, 43, 36], "40 epochs": [55.0, 60, 61]})
    table.index = ["softmax", "balanced_softmax", "seesaw"]
    _, ax = plt.subplots()
    reading_plots.slopes(ax, table)
    lines = [line.get_ydata() for line in ax.lines]
    np.testing.assert_array_equal(lines, table.to_numpy())
    grey = [line.get_color() == reading_plots.BASELINE_COLOR for line in ax.lines]
    assert grey == [True, False, False]
    ends = {text.get_text(): text.xy for text in ax.texts}
    assert ends == {label: (1, end) for label, end in table["40 epochs"].items()}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(table)
    ax.figure.canvas.draw()
