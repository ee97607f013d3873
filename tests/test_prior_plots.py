"""The figures of class priors draw what they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import plotting, prior_plots  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


def ends(ax) -> dict[str, tuple]:
    """Where each label of the axes points to."""
    return {text.get_text(): text.xy for text in ax.texts}


@pytest.mark.parametrize("num_classes", [2, 10])
def test_accumulated_draws_a_line_a_class(num_classes):
    theta = np.random.default_rng(0).uniform(1, 9, (5, num_classes)).cumsum(axis=0)
    figure, ax = plt.subplots()
    prior_plots.accumulated(ax, theta)
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], theta.T)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 6))
    colors = [line.get_color() for line in ax.lines]
    np.testing.assert_array_equal(colors, plotting.rank_colors(num_classes))
    figure.canvas.draw()


def test_exponents_draws_the_mean_inside_the_range_of_the_seeds():
    slopes = np.array([[0.2, 0.5, 0.8], [0.4, 0.7, 0.8]])
    figure, ax = plt.subplots()
    prior_plots.exponents(ax, {"GALA": slopes}, {"prior": 1.0})
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 0.3], [2, 0.6], [3, 0.8]])
    band = ax.collections[0].get_paths()[0].vertices
    for epoch, low, high in ((1, 0.2, 0.4), (2, 0.5, 0.7), (3, 0.8, 0.8)):
        heights = band[band[:, 0] == epoch, 1]
        assert (heights.min(), heights.max()) == pytest.approx((low, high))
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [1, 1])
    assert ends(ax) == {"GALA": pytest.approx((3, 0.8)), "prior": (3, 1.0)}
    figure.canvas.draw()


def test_against_prior_fits_a_power_of_the_prior():
    prior = np.array([0.6, 0.3, 0.1])
    panels = {"half": (prior, 0.2 * prior**0.5), "whole": (prior, prior)}
    figure = prior_plots.against_prior(panels, ylabel="share")
    for ax, (title, (_, measured)) in zip(figure.axes, panels.items(), strict=True):
        itself, fitted = ax.lines
        np.testing.assert_array_equal(itself.get_ydata(), prior)
        np.testing.assert_allclose(fitted.get_ydata(), measured)
        offsets = ax.collections[0].get_offsets()
        np.testing.assert_array_equal(offsets, np.column_stack([prior, measured]))
        assert ax.get_title("left") == title
    assert figure.axes[0].get_ylabel() == "share"
    figure.canvas.draw()


def test_differences_has_a_row_a_method_the_first_on_top():
    table = pd.DataFrame(
        {"difference": [2.0, -1.0], "low": [1.0, -3.0], "high": [3.0, 1.0]},
        index=["first", "second"],
    )
    figure, ax = plt.subplots()
    prior_plots.differences(ax, table, "GALA")
    intervals, points = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), [[2, 0], [-1, 1]])
    drawn = [segment.tolist() for segment in intervals.get_segments()]
    assert drawn == [[[1, 0], [3, 0]], [[-3, 1], [1, 1]]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "second"]
    assert ax.yaxis_inverted()
    assert "GALA" in ax.get_xlabel()
    figure.canvas.draw()


def test_over_tau_draws_the_mean_of_the_runs():
    taus, runs = np.array([0.0, 0.5, 1.0]), np.array([[50.0, 60.0, 70.0], [54.0, 60.0, 72.0]])
    figure, ax = plt.subplots()
    prior_plots.over_tau(ax, taus, {"softmax": runs, "balanced": runs - 10})
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 52], [0.5, 60], [1, 71]])
    assert ends(ax) == {"softmax": (1.0, 71.0), "balanced": (1.0, 61.0)}
    figure.canvas.draw()


def test_gains_draws_a_bar_a_method_with_whiskers_of_one_deviation():
    gain = {"LA": np.array([[1.0, 4.0], [3.0, 4.0]]), "norm": np.array([[-2.0, 0.0], [0.0, 2.0]])}
    figure, ax = plt.subplots()
    prior_plots.gains(ax, gain, ["balanced", "as trained"])
    bars = [drawn for drawn in ax.containers if hasattr(drawn, "patches")]
    heights = [[bar.get_height() for bar in drawn] for drawn in bars]
    assert heights == [[2.0, 4.0], [-1.0, 1.0]]
    assert [drawn.get_label() for drawn in bars] == ["LA", "norm"]
    whiskers = [segment[:, 1] for segment in bars[0].errorbar.lines[2][0].get_segments()]
    np.testing.assert_allclose(whiskers, [[2 - 2**0.5, 2 + 2**0.5], [4, 4]])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["balanced", "as trained"]
    figure.canvas.draw()


def test_gains_of_one_run_have_no_whiskers_and_keep_their_groups_apart():
    _, ax = plt.subplots()
    gain = {name: np.array([[1.0, 2.0]]) for name in "abc"}
    prior_plots.gains(ax, gain, ["one", "two"])
    assert [drawn.errorbar for drawn in ax.containers] == [None] * 3
    places = np.array([[bar.get_x() + bar.get_width() / 2 for bar in b] for b in ax.containers])
    np.testing.assert_allclose(places.mean(axis=0), [0, 1], atol=1e-12)
    assert np.ptp(places[:, 0]) < 0.8


def test_more_lines_than_there_are_dashes_are_all_drawn():
    many = {str(k): np.ones((2, 3)) for k in range(2 * len(plotting.DASHES) + 3)}
    _, (left, right) = plt.subplots(1, 2)
    prior_plots.exponents(left, many, {})
    prior_plots.over_tau(right, np.arange(3.0), many)
    assert (len(left.lines), len(right.lines)) == (len(many), len(many))
