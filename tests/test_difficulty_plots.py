"""The figures of difficulty draw what they are given; the baseline stands out."""

from __future__ import annotations

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import difficulty_plots, plotting  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


def corners(ax) -> np.ndarray:
    """All corners of the one band on the axes, ``(corners, 2)``."""
    (band,) = ax.collections
    return band.get_paths()[0].vertices


def test_forces_draws_each_curve_in_its_panel():
    g = np.linspace(0.01, 0.99, 20)
    panels = {
        "focal": {"softmax": g, "gamma 1": g**2},
        "ghm": {"softmax": g, "10 bins": 1 / g, "30 bins": g**0.5},
    }
    figure = difficulty_plots.forces(g, panels)
    assert [ax.get_title("left") for ax in figure.axes] == list(panels)
    for ax, curves in zip(figure.axes, panels.values(), strict=True):
        for line, (label, values) in zip(ax.lines, curves.items(), strict=True):
            assert line.get_label() == label
            np.testing.assert_array_equal(line.get_xydata(), np.column_stack([g, values]))
    figure.canvas.draw()


def test_only_the_baseline_is_solid_and_grey():
    g = np.linspace(0, 1, 5)
    curves = {label: g for label in ("a", "b", "base", "c", "d", "e", "f")}
    figure = difficulty_plots.forces(g, {"": curves}, baseline="base")
    assert len(figure.axes[0].lines) == len(curves)
    solid = [line.get_label() for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    grey = [
        line.get_label()
        for line in figure.axes[0].lines
        if line.get_color() == plotting.BASELINE_COLOR
    ]
    assert (solid, grey) == (["base"], ["base"])


def test_over_steps_draws_the_mean_and_a_band_of_one_deviation():
    steps = [1, 2, 4]
    seeds = np.array([[10.0, 20.0, 60.0], [30.0, 20.0, 80.0], [20.0, 50.0, 70.0]])
    _, ax = plt.subplots()
    difficulty_plots.over_steps(ax, steps, {"focal": seeds})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [20, 30, 70])
    deviation = np.array([10, 300**0.5, 10])
    band = corners(ax)
    for step, mean, sd in zip(steps, [20, 30, 70], deviation, strict=True):
        heights = band[band[:, 0] == step, 1]
        assert (heights.min(), heights.max()) == pytest.approx((mean - sd, mean + sd))


@pytest.mark.parametrize("values", [[5.0, 7.0, 9.0], [[5.0, 7.0, 9.0]]])
def test_over_steps_has_no_band_for_one_seed(values):
    _, ax = plt.subplots()
    difficulty_plots.over_steps(ax, [1, 2, 3], {"softmax": np.array(values)})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [5, 7, 9])
    assert len(ax.collections) == 0


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_over_steps_names_each_line_where_it_ends(scale):
    figure, ax = plt.subplots()
    curves = {"softmax": np.array([90.0, 10.0]), "focal": np.array([80.0, 40.0])}
    difficulty_plots.over_steps(ax, [1, 100], curves, scale=scale)
    assert {text.get_text(): text.xy for text in ax.texts} == {
        "softmax": (100, 10.0),
        "focal": (100, 40.0),
    }
    assert ax.get_xscale() == scale
    assert ax.get_ylim() == (0, 100)
    figure.canvas.draw()


def test_a_curve_of_another_length_is_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="shape"):
        difficulty_plots.over_steps(ax, [1, 2, 3], {"softmax": np.ones(4)})
