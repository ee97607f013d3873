"""The figures of class weights draw what they are given."""

from __future__ import annotations

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import plotting, reweighting_plots  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


def labels(ax) -> dict[str, tuple]:
    """Where each label of the axes points to."""
    return {text.get_text(): text.xy for text in ax.texts}


def test_effective_numbers_are_the_sums_of_powers():
    _, ax = plt.subplots()
    reweighting_plots.effective_numbers(ax, [0.5, 0.99], {"digits": [200, 20, 2]})
    _, half, most = ax.lines  # the first is the number itself
    assert half.get_ydata()[0] == pytest.approx(1)
    assert most.get_xdata()[-1] == pytest.approx(200)
    assert most.get_ydata()[-1] == pytest.approx(sum(0.99**k for k in range(200)))
    assert labels(ax)["β = 0.5"] == pytest.approx((200, 2))


def test_effective_numbers_shows_the_counts_of_each_data_set():
    figure, ax = plt.subplots()
    counts = {"small": [30, 10, 1], "large": [5000, 70]}
    reweighting_plots.effective_numbers(ax, [0.9], counts)
    for points, images in zip(ax.collections, counts.values(), strict=True):
        np.testing.assert_array_equal(points.get_offsets()[:, 0], images)
        assert len(set(points.get_offsets()[:, 1])) == 1  # on a line of its own
    assert {"small", "large"} <= labels(ax).keys()
    figure.canvas.draw()


@pytest.mark.parametrize("num_classes", [2, 10])
def test_factors_by_rank_draws_each_class_in_its_colour(num_classes):
    first = np.geomspace(0.1, 10, num_classes)
    factors = {"mean": first, "weighted_mean": first[::-1]}
    figure, ax = plt.subplots()
    reweighting_plots.factors_by_rank(ax, factors)
    for points, values in zip(ax.collections, factors.values(), strict=True):
        np.testing.assert_allclose(points.get_offsets()[:, 1], values)
        np.testing.assert_array_equal(points.get_facecolor(), plotting.rank_colors(num_classes))
    assert labels(ax)["mean"] == pytest.approx((num_classes - 1, 10))
    figure.canvas.draw()


def test_boundaries_stand_over_the_images_and_the_gap_between_them():
    steps, head, tail = 6, np.array([-1.2, -0.5]), np.array([0.4, 0.9, 1.1])
    boundary = np.linspace(0, 1, steps)[:, None] * [1.0, -1.0]
    figure, ax = plt.subplots()
    reweighting_plots.boundaries(ax, boundary, ["one", "other"], head, tail)
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], boundary.T)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, steps + 1))
    for points, images in zip(ax.collections, (head, tail), strict=True):
        np.testing.assert_array_equal(points.get_offsets()[:, 1], images)
    (gap,) = ax.patches
    assert (gap.get_y(), gap.get_y() + gap.get_height()) == pytest.approx((-0.5, 0.4))
    assert labels(ax).keys() == {"one", "other", "head", "tail"}
    figure.canvas.draw()


def test_by_length_draws_means_with_bars_of_one_deviation():
    _, ax = plt.subplots()
    values = {"softmax": np.array([[1.0, 3.0], [10.0, 10.0]])}
    reweighting_plots.by_length(ax, [10, 100], values, ylim=(0, 20))
    (drawn,) = ax.containers
    np.testing.assert_array_equal(drawn.lines[0].get_xydata(), [[10, 2], [100, 10]])
    bars = [segment[:, 1] for segment in drawn.lines[2][0].get_segments()]
    np.testing.assert_allclose(bars, [[2 - 2**0.5, 2 + 2**0.5], [10, 10]])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]


def test_by_length_has_no_bars_for_one_seed_and_a_grey_baseline():
    figure, ax = plt.subplots()
    values = {"softmax": np.array([[1.0], [2.0]]), "weighted": np.array([[3.0], [2.5]])}
    reweighting_plots.by_length(ax, [10, 100], values, ylim=(0, 5))
    assert [drawn.has_yerr for drawn in ax.containers] == [False, False]
    colors = [drawn.lines[0].get_color() for drawn in ax.containers]
    assert colors == [plotting.BASELINE_COLOR, plotting.METHOD_COLOR]
    assert labels(ax) == {"softmax": (100, 2.0), "weighted": (100, 2.5)}
    figure.canvas.draw()


def test_more_lines_than_there_are_dashes_are_all_drawn():
    many = [str(k) for k in range(2 * len(plotting.DASHES) + 3)]
    _, axes = plt.subplots(1, 4)
    images = np.array([-1.0, 1.0])
    reweighting_plots.effective_numbers(axes[0], np.linspace(0.1, 0.9, len(many)), {"": [9]})
    reweighting_plots.boundaries(axes[1], np.ones((3, len(many))), many, images[:1], images[1:])
    seeds = {label: np.ones((2, 3)) for label in many}
    reweighting_plots.by_length(axes[2], [1, 9], seeds, ylim=(0, 2))
    reweighting_plots.factors_by_rank(axes[3], {label: np.ones(2) for label in many})
    drawn = [len(axes[0].lines) - 1, len(axes[1].lines), len(axes[2].containers)]
    assert [*drawn, len(axes[3].collections)] == [len(many)] * 4
