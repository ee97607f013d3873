"""The figures of category-wise densities draw what they are given."""

from __future__ import annotations

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import density_plots, plotting  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.mark.parametrize("num_classes", [2, 10])
def test_over_training_draws_a_line_a_class_in_every_panel(num_classes):
    generator = np.random.default_rng(0)
    first, second = generator.uniform(0.2, 5, (2, 7, num_classes))
    figure = density_plots.over_training({"first": first, "second": second}, "gradient")
    for ax, values in zip(figure.axes, (first, second), strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], values.T)
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 8))
        colors = [line.get_color() for line in ax.lines]
        np.testing.assert_array_equal(colors, plotting.rank_colors(num_classes))
    figure.canvas.draw()


def test_over_training_shares_an_axis_that_holds_the_highest_line():
    low, high = np.full((3, 2), 0.5), np.full((3, 2), 40.0)
    figure = density_plots.over_training({"low": low, "high": high}, "gradient", smallest=0.01)
    assert [ax.get_ylim() for ax in figure.axes] == [(0.01, 80.0)] * 2
    assert figure.axes[0].get_ylabel() == "gradient"
    assert [ax.get_title("left") for ax in figure.axes] == ["low", "high"]


def test_against_draws_every_curve_and_names_it_at_its_end():
    x = np.array([1.0, 2.0, 5.0])
    curves = {"none": x, r"a$b": x**2, "third": 1 / x}
    figure, ax = plt.subplots()
    density_plots.against(ax, x, curves)
    for line, values in zip(ax.lines, curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([x, values]))
    assert [text.get_text() for text in ax.texts] == ["none", r"a\$b", "third"]
    assert [text.xy for text in ax.texts] == [(5.0, 5.0), (5.0, 25.0), (5.0, 0.2)]
    figure.canvas.draw()


def test_against_tells_curves_apart_without_colour():
    _, ax = plt.subplots()
    density_plots.against(ax, np.arange(3), {str(k): np.arange(3) for k in range(8)})
    looks = {(line.get_marker(), str(line.get_linestyle())) for line in ax.lines}
    assert len(looks) == 8
    assert {line.get_color() for line in ax.lines} == {plotting.METHOD_COLOR}


def test_kept_by_rank_draws_each_method_the_baseline_grey_and_what_is_expected():
    kept = {"icb": np.array([1.0, 2.0, 4.0]), "softmax": np.array([0.1, 0.5, 3.0])}
    expected = np.array([1.1, 2.2, 3.3])
    figure, ax = plt.subplots()
    density_plots.kept_by_rank(ax, kept, ("formula", expected))
    for line, values in zip(ax.lines, [*kept.values(), expected], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([range(3), values]))
    assert [line.get_label() for line in ax.lines] == ["icb", "softmax", "formula"]
    assert [line.get_color() == plotting.BASELINE_COLOR for line in ax.lines] == [0, 1, 0]
    assert ax.get_yscale() == "log"
    assert (ax.lines[2].get_marker(), ax.lines[2].get_linestyle()) == ("x", "None")
    figure.canvas.draw()
