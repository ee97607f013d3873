"""Figures: the promises of the style, labels that can be read, and that data are drawn."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from lt_core import plots, tables  # noqa: E402
from lt_core.plots.styling import moved_apart  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")

COUNTS = [500, 120, 90, 30, 15, 5]
HOSTILE = "<img src=x> $x_1$ | 類\n" + "w" * 200


def luminance(color) -> float:
    color = np.asarray(color[:3])
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_style_is_six_inches_wide_without_a_box():
    figure, ax = plt.subplots()
    assert figure.get_figwidth() == 6
    assert not ax.spines["top"].get_visible()
    assert not ax.spines["right"].get_visible()


def test_colors_are_readable_on_white_and_the_baseline_has_its_own():
    colors = plots.rank_colors(50)
    lightness = [luminance(color) for color in colors]
    assert lightness == sorted(lightness)
    baseline = np.array(to_rgb(plots.BASELINE_COLOR))
    assert min(1.05 / (value + 0.05) for value in [*lightness, luminance(baseline)]) >= 3
    away = np.abs(plots.rank_colors(50, lightest=0.9)[:, :3] - baseline).max(axis=1)
    assert away.min() > 0.3


@pytest.mark.parametrize("seed", range(3))
def test_moved_apart_keeps_the_gap_the_order_and_the_range(seed):
    rng = np.random.default_rng(seed)
    positions = rng.choice([0.1, 0.2, 0.21, 0.999], 8) + rng.normal(0, 0.001, 8)
    moved = moved_apart(positions, 0.1)
    assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-9
    assert (np.argsort(moved) == np.argsort(positions)).all()
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-9


def test_moved_apart_moves_no_more_than_it_must():
    np.testing.assert_allclose(moved_apart([0, 0.5, 0.9], 0.1), [0, 0.5, 0.9])
    np.testing.assert_allclose(moved_apart([0.5, 0.5, 0.9], 0.1), [0.45, 0.55, 0.9])
    np.testing.assert_allclose(moved_apart([0.3, 0.3, 0.3], 0.9), [0, 0.5, 1])
    np.testing.assert_allclose(moved_apart([1.2], 0.9), [1])


@pytest.mark.parametrize("yscale", ["linear", "log"])
def test_end_labels_do_not_overlap(yscale):
    curves = {f"method_{i}": np.array([1, 70 + 0.01 * i]) for i in range(9)}
    figure, ax = plt.subplots()
    plots.lines(ax, [0, 1], curves, yscale=yscale, ylim=(0.1, 100))
    figure.canvas.draw()
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 9
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    inside = ax.get_window_extent()
    assert all(inside.y0 - 9 <= box.y0 and box.y1 <= inside.y1 + 9 for box in boxes)


def test_a_line_that_ends_in_nothing_has_no_label():
    figure, ax = plt.subplots()
    plots.lines(ax, [0, 1], {"whole": np.ones(2), "torn": np.array([1, np.nan])})
    assert [text.get_text() for text in ax.texts] == ["whole"]
    figure.canvas.draw()


def test_names_are_shown_as_they_are():
    assert plots.plain("icb") == "icb"
    assert plots.plain("$x$") == r"\$x\$"
    shown = plots.plain(HOSTILE)
    assert len(shown.replace("\\", "")) == 40
    assert "類" not in shown  # the font has no such character, and warns
    assert "\n" not in shown


RUNS = np.array([[10.0, 20.0, 60.0], [30.0, 20.0, 80.0], [20.0, 50.0, 70.0]])
MEAN, DEVIATION = RUNS.mean(axis=0), RUNS.std(axis=0, ddof=1)


def test_lines_draw_the_mean_and_a_band_of_one_deviation():
    figure, ax = plt.subplots()
    plots.lines(ax, [1, 2, 4], {"focal": RUNS}, xscale="log", xticks=[1, 2, 4])
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.column_stack([[1, 2, 4], MEAN]))
    band = ax.collections[0].get_paths()[0].vertices
    for step, mean, deviation in zip([1, 2, 4], MEAN, DEVIATION, strict=True):
        heights = band[band[:, 0] == step, 1]
        assert (heights.min(), heights.max()) == pytest.approx((mean - deviation, mean + deviation))
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("focal", (4, MEAN[-1]))]
    figure.canvas.draw()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]


def test_lines_draw_bars_of_one_deviation():
    _, ax = plt.subplots()
    plots.lines(ax, [1, 2, 4], {"focal": RUNS}, spread="bars")
    ends = [segment[:, 1] for segment in ax.containers[0].lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, np.column_stack([MEAN - DEVIATION, MEAN + DEVIATION]))


@pytest.mark.parametrize("values", [RUNS[0], RUNS[:1]])
@pytest.mark.parametrize("spread", ["band", "bars"])
def test_one_run_has_no_spread(values, spread):
    _, ax = plt.subplots()
    plots.lines(ax, [1, 2, 4], {"softmax": values}, spread=spread)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), RUNS[0])
    assert (len(ax.collections), len(ax.containers)) == (0, 0)


def test_lines_are_told_apart_without_colour_which_the_baseline_has_alone():
    _, ax = plt.subplots()
    plots.lines(ax, range(3), {str(k): np.arange(3.0) for k in range(20)}, baseline="7")
    assert len(ax.lines) == 20
    assert len({line.get_marker() for line in ax.lines[:12]}) == 12
    own = [line.get_color() == plots.BASELINE_COLOR for line in ax.lines]
    assert own == [k == 7 for k in range(20)]
    assert not any(line.get_clip_on() for line in ax.lines)  # the last marker is whole


def test_lines_of_another_length_are_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="shape"):
        plots.lines(ax, [1, 2, 3], {"softmax": np.ones(4)})


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_points_by_rank_are_means_in_the_colours_of_the_ranks(num_classes):
    values = np.random.default_rng(0).uniform(1, 9, (3, num_classes))
    figure, ax = plt.subplots()
    plots.points_by_rank(ax, values, "open", filled=False, yscale="log")
    plots.points_by_rank(ax, values[0], "one run")
    open_, filled = (each for each in ax.collections if each.get_label()[0] != "_")
    np.testing.assert_allclose(open_.get_offsets()[:, 1], values.mean(axis=0))
    np.testing.assert_array_equal(filled.get_facecolor(), plots.rank_colors(num_classes))
    np.testing.assert_array_equal(open_.get_edgecolor(), plots.rank_colors(num_classes))
    assert open_.get_facecolor().min() == 1
    figure.canvas.draw()


def panels(figure):
    """The methods' panels; those with the training images and the key come before them."""
    return [ax for ax in figure.axes[1:] if ax.axison]


@pytest.mark.parametrize("methods", [5, 6])  # five: two columns have a scale, the rest is less
def test_the_longest_names_of_rows_head_their_panels_whole_and_apart(methods):
    rows = {row.label for table in tables.TABLES.values() for row in table.rows}
    names = sorted(rows, key=len)[-methods:]
    curves = dict.fromkeys(names, np.full((2, 6), 0.5))
    figure = plots.accuracy_by_class_rank(curves, COUNTS)
    figure.canvas.draw()
    titles = [ax.get_title(loc="left") for ax in panels(figure)]
    assert [title.replace("\n", "") for title in titles] == names
    heads = [text for text in figure.findobj(Text) if text.get_text() in titles]
    boxes = [text.get_window_extent() for text in heads]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    for box, ax in zip(boxes, panels(figure), strict=True):
        assert box.x1 <= ax.get_window_extent().x1 + 1  # so no figure is wider than it should be
    assert min(text.get_fontsize() for text in heads) > 6


def test_accuracy_by_class_rank_shows_each_method_against_the_baseline():
    rng = np.random.default_rng(0)
    curves = {name: rng.uniform(0, 1, (3, 6)) for name in ("softmax", "icb", HOSTILE)}
    figure = plots.accuracy_by_class_rank(curves, COUNTS)
    figure.canvas.draw()
    for ax, name in zip(panels(figure), ("icb", HOSTILE), strict=True):
        assert ax.get_title(loc="left") == plots.plain(name, 24)
        assert ax.lines[0].get_color() == plots.BASELINE_COLOR
        np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * curves["softmax"].mean(axis=0))
        points = ax.collections[-1].get_offsets()
        np.testing.assert_allclose(points[:, 1], 100 * curves[name].mean(axis=0))


def test_classes_are_drawn_in_order_of_their_rank():
    accuracy = np.array([[0.1, 0.9, 0.5]])
    figure = plots.accuracy_by_class_rank({"softmax": accuracy, "icb": accuracy}, [5, 500, 50])
    np.testing.assert_allclose(panels(figure)[0].lines[0].get_ydata(), [90, 50, 10])


def test_many_classes_are_joined_to_fifty_points():
    curves = dict.fromkeys(("softmax", "icb"), np.tile(np.linspace(1, 0, 200), (2, 1)))
    figure = plots.accuracy_by_class_rank(curves, np.linspace(500, 5, 200))
    x, y = panels(figure)[0].lines[0].get_data()
    assert len(x) == 50
    assert x[0] == pytest.approx(1.5)
    assert y[0] == pytest.approx(100 * np.linspace(1, 0, 200)[:4].mean())


def keys(figure):
    (legend,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    return [text.get_text() for text in legend.get_texts()], legend


@pytest.mark.parametrize("methods", [1, 3, 8, 13, 14])
def test_panels_are_equal_and_the_key_covers_none(methods):
    curves = {name: np.full((3, 6), 0.5) for name in ("softmax", *"abcdefghijklmn"[:methods])}
    figure = plots.accuracy_by_class_rank(curves, COUNTS, note="digits\n30 epochs")
    figure.canvas.draw()
    boxes = [ax.get_window_extent() for ax in panels(figure)]
    assert len(boxes) == methods
    assert np.ptp([box.width for box in boxes]) < 1
    assert np.ptp([box.height for box in boxes]) < 1
    labels, legend = keys(figure)
    assert labels == ["softmax", "mean of 3 seeds", "± 1 sd"]
    assert legend.get_title().get_text() == "digits\n30 epochs"
    drawn = [figure.axes[0].get_window_extent(), *(ax.get_tightbbox() for ax in panels(figure))]
    assert not any(legend.get_window_extent().overlaps(box) for box in drawn)


def test_one_seed_and_no_baseline_are_drawn_too():
    figure = plots.accuracy_by_class_rank({"icb": np.full(6, 0.5)}, COUNTS)
    figure.canvas.draw()
    assert keys(figure)[0] == ["one seed"]
    curves = {"softmax": np.full((2, 6), 0.5), "icb": np.full((1, 6), 0.5)}
    assert "mean of 1 or 2 seeds" in keys(plots.accuracy_by_class_rank(curves, COUNTS))[0]


@pytest.mark.parametrize("small", [True, False])
def test_a_groups_name_stands_over_its_ranks_and_touches_no_other(small):
    counts = [124, 74, 44, 26, 16, 9, 5, 3, 2, 1]  # one class is many, three are medium
    figure, ax = plt.subplots(figsize=(1.5, 1.5) if small else (6, 2.4))
    plots.class_profile(ax, counts, small=small)
    figure.canvas.draw()
    assert [text.get_text() for text in ax.texts] == ["many", "medium", "few"]
    assert [text.get_position()[0] for text in ax.texts] == [0, 2, 6.5]
    boxes, inside = [Text.get_window_extent(text) for text in ax.texts], ax.get_window_extent()
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 + 1 for box in boxes)


def cells(methods, paper=np.nan, factor=100.0) -> pd.DataFrame:
    columns = {"n": 3, "low": 58.0, "high": 63.0, "many": 90.0, "medium": np.nan, "few": 20.0}
    cells = pd.DataFrame({"method": methods, "mean": np.linspace(60, 61, len(methods))})
    return cells.assign(dataset="cifar10", imbalance_factor=factor, paper=paper, **columns)


def test_dumbbells_compare_only_what_may_be_compared():
    assert plots.dumbbells(cells(["softmax", "icb"])) is None
    assert plots.dumbbells(cells(["softmax"], paper=60.5).assign(n=1)) is None  # no verdict
    both = [cells(["softmax", "icb"], paper=60.5, factor=factor) for factor in (100.0, 10.0)]
    both.append(cells(["softmax"], factor=1.0))
    figure = plots.dumbbells(pd.concat(both))
    figure.canvas.draw()
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["factor 100", "factor 10"]
    assert figure.get_suptitle() == "4 of 4 published values agree with ours"


def test_difference_intervals_have_a_row_per_method_the_first_on_top():
    columns = {"difference": [2.0, -1.0], "low": [1.0, -3.0], "high": [3.0, 1.0]}
    figure, ax = plt.subplots()
    plots.difference_intervals(ax, pd.DataFrame(columns, index=["first", "a$1\nsecond"]), "GALA")
    intervals, points = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), [[2, 0], [-1, 1]])
    drawn = [segment.tolist() for segment in intervals.get_segments()]
    assert drawn == [[[1, 0], [3, 0]], [[-3, 1], [1, 1]]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "a\\$1\nsecond"]
    assert ax.yaxis_inverted()
    assert "GALA" in ax.get_xlabel()
    figure.canvas.draw()


def test_differences_have_a_panel_each_and_none_no_figure():
    table = pd.DataFrame({"difference": [2.0], "low": [1.0], "high": [3.0]}, index=["icb"])
    figure = plots.ranked_differences({"a": table, "b": table}, "softmax")
    titles = [f"{name}\n1 of 1 intervals above softmax, each for itself" for name in "ab"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == titles
    assert plots.ranked_differences({}, "softmax") is None


def test_coverage_divides_each_bar_into_all_that_it_counts():
    counts = pd.DataFrame({"in full": [1, 0], "not run": [3, 5]}, index=["a", "b"])
    (ax,) = plots.coverage(counts).axes
    widths = [bar.get_width() for bar in ax.patches]
    starts = [bar.get_x() for bar in ax.patches]
    assert (widths, starts) == ([1, 0, 3, 5], [0, 0, 1, 0])
    assert ax.get_title(loc="left") == "1 of 9 cells in full"


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_push_matrices_show_shares_and_leave_the_diagonal_empty(num_classes):
    push = np.random.default_rng(0).uniform(0.1, 1, (num_classes, num_classes))
    push *= 1 - np.eye(num_classes)
    figure = plots.push_matrices({"one": push, "ten times": 10 * push})
    shown = [ax.images[0].get_array() for ax in figure.axes[:2]]
    np.testing.assert_allclose(shown[0].sum(), 1)
    np.testing.assert_allclose(shown[0].filled(0), shown[1].filled(0))
    assert shown[0].mask.diagonal().all()
    figure.canvas.draw()


def test_shares_against_prior_fit_a_power_of_the_prior():
    prior = np.array([0.6, 0.3, 0.1])
    drawn = {"half": (prior, 0.2 * prior**0.5), "whole": (prior, prior)}
    figure = plots.shares_against_prior(drawn, "share")
    for ax, (_, share) in zip(figure.axes, drawn.values(), strict=True):
        itself, fitted = ax.lines
        np.testing.assert_array_equal(itself.get_ydata(), prior)
        np.testing.assert_allclose(fitted.get_ydata(), share)
        np.testing.assert_array_equal(
            ax.collections[0].get_offsets(), np.column_stack([prior, share])
        )
    figure.canvas.draw()
